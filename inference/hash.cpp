#include "hash.h"

#include <xxhash.h>
#ifdef LEAT_HAS_XXH_DISPATCH // the widest instructions of the processor; it redefines names of xxhash.h
#include <xxh_x86dispatch.h>
#endif

#include <algorithm>
#include <atomic>
#include <future>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

namespace leat {
namespace {

constexpr size_t piece_bytes = 64 * 1024; // they stay in the second cache

/// Hashes whole pieces, as many as `hashes` has places, of the file from `begin` on.
void hash_pieces(const OpenFile &file, uint64_t begin, std::vector<XXH128_canonical_t> &hashes)
{
    constexpr size_t worth_a_thread = 128; // pieces: what takes a millisecond
    std::atomic<size_t> next = 0;
    const auto work = [&] {
        std::vector<std::byte> piece(piece_bytes);
        for (size_t at = next++; at < hashes.size(); at = next++) {
            file.read(begin + at * piece_bytes, piece);
            XXH128_canonicalFromHash(&hashes[at], XXH3_128bits(piece.data(), piece.size()));
        }
    };
    const size_t threads = std::min<size_t>(std::thread::hardware_concurrency(), hashes.size() / worth_a_thread);
    std::vector<std::future<void>> helpers;
    try {
        while (helpers.size() + 1 < threads)
            helpers.push_back(std::async(std::launch::async, work));
    } catch (const std::system_error &) { // no more threads for this process: fewer take longer
    }
    work();
    for (std::future<void> &helper : helpers)
        helper.get();
}

} // namespace

struct Hash::State {
    using Xxh = std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)>;

    Xxh pieces = begun(); ///< of the hashes of those that are full
    Xxh piece = begun();  ///< of what has come of the next
    size_t filled = 0;    ///< bytes of it

    void add_piece(XXH3_state_t *to) const
    {
        XXH128_canonical_t hash;
        XXH128_canonicalFromHash(&hash, XXH3_128bits_digest(piece.get()));
        XXH3_128bits_update(to, &hash, sizeof hash);
    }
    XXH128_hash_t digest() const
    {
        const Xxh all = begun();
        XXH3_copyState(all.get(), pieces.get());
        if (filled)
            add_piece(all.get());
        return XXH3_128bits_digest(all.get());
    }

  private:
    static Xxh begun()
    {
        Xxh state(XXH3_createState(), XXH3_freeState);
        if (!state)
            throw std::bad_alloc();
        XXH3_128bits_reset(state.get());
        return state;
    }
};

Hash::Hash() : state_(std::make_unique<State>()) {}

Hash::~Hash() = default;

void Hash::add(std::span<const std::byte> bytes)
{
    while (!bytes.empty()) {
        const auto part = bytes.first(std::min(bytes.size(), piece_bytes - state_->filled));
        XXH3_128bits_update(state_->piece.get(), part.data(), part.size());
        state_->filled += part.size();
        if (state_->filled == piece_bytes) {
            state_->add_piece(state_->pieces.get());
            XXH3_128bits_reset(state_->piece.get());
            state_->filled = 0;
        }
        bytes = bytes.subspan(part.size());
    }
}

void Hash::add(const OpenFile &file, uint64_t begin)
{
    const auto add_next = [&](size_t most) {
        std::vector<std::byte> part(std::min<uint64_t>(most, file.bytes() - begin));
        file.read(begin, part);
        add(part);
        begin += part.size();
    };
    if (state_->filled)
        add_next(piece_bytes - state_->filled);
    std::vector<XXH128_canonical_t> hashes((file.bytes() - begin) / piece_bytes);
    hash_pieces(file, begin, hashes);
    XXH3_128bits_update(state_->pieces.get(), hashes.data(), hashes.size() * sizeof hashes[0]);
    begin += hashes.size() * piece_bytes;
    add_next(piece_bytes);
}

uint64_t Hash::checksum() const
{
    return state_->digest().low64;
}

std::string Hash::digits() const
{
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, state_->digest());
    std::string digits;
    for (unsigned char byte : canonical.digest)
        for (int half : {byte >> 4, byte & 15})
            digits += "0123456789abcdef"[half];
    return digits;
}

std::string hash_of(std::span<const std::byte> bytes)
{
    Hash hash;
    hash.add(bytes);
    return hash.digits();
}

std::string hash_of_file(const std::filesystem::path &path)
{
    Hash hash;
    hash.add(OpenFile::open_regular(path), 0);
    return hash.digits();
}

} // namespace leat
