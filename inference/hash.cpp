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

using Pieces = std::vector<XXH128_canonical_t>;

/// Calls work(first, last) of pieces until all have been, on as many threads as it is worth. What it throws comes
/// through when all have ended.
template <class Work> void share(size_t pieces, const Work &work)
{
    constexpr size_t run = 32;            // pieces, one after the other, which the processor fetches ahead
    constexpr size_t worth_a_thread = 32; // pieces: what takes some tenths of a millisecond
    std::atomic<size_t> next = 0;
    const auto take = [&] {
        for (size_t first = next.fetch_add(run); first < pieces; first = next.fetch_add(run))
            work(first, std::min(first + run, pieces));
    };
    const size_t threads = std::min<size_t>(std::thread::hardware_concurrency(), pieces / worth_a_thread);
    std::vector<std::future<void>> helpers;
    try {
        while (helpers.size() + 1 < threads)
            helpers.push_back(std::async(std::launch::async, take));
    } catch (const std::system_error &) { // no more threads for this process: fewer take longer
    }
    take();
    for (std::future<void> &helper : helpers)
        helper.get();
}

void hash_piece(std::span<const std::byte> piece, XXH128_canonical_t &hash)
{
    XXH128_canonicalFromHash(&hash, XXH3_128bits(piece.data(), piece.size()));
}

Pieces hashes_of(std::span<const std::byte> bytes)
{
    Pieces hashes(bytes.size() / piece_bytes);
    share(hashes.size(), [&](size_t first, size_t last) {
        for (size_t at = first; at < last; at++)
            hash_piece(bytes.subspan(at * piece_bytes, piece_bytes), hashes[at]);
    });
    return hashes;
}

/// Of the file from `begin` on.
Pieces hashes_of(const OpenFile &file, uint64_t begin)
{
    Pieces hashes((file.bytes() - begin) / piece_bytes);
    share(hashes.size(), [&](size_t first, size_t last) {
        std::vector<std::byte> piece(piece_bytes);
        for (size_t at = first; at < last; at++) {
            file.read(begin + at * piece_bytes, piece);
            hash_piece(piece, hashes[at]);
        }
    });
    return hashes;
}

} // namespace

struct Hash::State {
    using Xxh = std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)>;

    Xxh pieces = begun(); ///< of the hashes of those that are full
    Xxh piece = begun();  ///< of what has come of the next
    size_t filled = 0;    ///< bytes of it

    /// No more than the piece that has begun has room for.
    void add_part(std::span<const std::byte> part)
    {
        XXH3_128bits_update(piece.get(), part.data(), part.size());
        filled += part.size();
        if (filled == piece_bytes) {
            add_piece(pieces.get());
            XXH3_128bits_reset(piece.get());
            filled = 0;
        }
    }
    void add_pieces(const Pieces &hashes)
    {
        XXH3_128bits_update(pieces.get(), hashes.data(), hashes.size() * sizeof hashes[0]);
    }
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
    if (state_->filled) {
        const auto rest = bytes.first(std::min(bytes.size(), piece_bytes - state_->filled));
        state_->add_part(rest);
        bytes = bytes.subspan(rest.size());
    }
    const Pieces hashes = hashes_of(bytes);
    state_->add_pieces(hashes);
    state_->add_part(bytes.subspan(hashes.size() * piece_bytes));
}

void Hash::add(const OpenFile &file, uint64_t begin)
{
    const auto add_next = [&](size_t most) {
        std::vector<std::byte> part(std::min<uint64_t>(most, file.bytes() - begin));
        file.read(begin, part);
        state_->add_part(part);
        begin += part.size();
    };
    if (state_->filled)
        add_next(piece_bytes - state_->filled);
    const Pieces hashes = hashes_of(file, begin);
    state_->add_pieces(hashes);
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
