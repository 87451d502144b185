#include "hash.h"

#include <xxhash.h>
#ifdef LEAT_HAS_XXH_DISPATCH // the widest instructions of the processor; it redefines names of xxhash.h
#include <xxh_x86dispatch.h>
#endif

#include <algorithm>
#include <new>
#include <vector>

namespace leat {

struct Hash::State {
    const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> xxh{XXH3_createState(), XXH3_freeState};

    XXH128_hash_t digest() const { return XXH3_128bits_digest(xxh.get()); }
};

Hash::Hash() : state_(std::make_unique<State>())
{
    if (!state_->xxh)
        throw std::bad_alloc();
    XXH3_128bits_reset(state_->xxh.get());
}

Hash::~Hash() = default;

void Hash::add(std::span<const std::byte> bytes)
{
    XXH3_128bits_update(state_->xxh.get(), bytes.data(), bytes.size());
}

void Hash::add(const OpenFile &file, uint64_t begin)
{
    constexpr uint64_t most = 128 * 1024; // they stay in the second cache
    std::vector<std::byte> piece(std::min(most, file.bytes()));
    for (uint64_t at = begin; at < file.bytes(); at += most) {
        const auto part = std::span(piece).first(std::min(most, file.bytes() - at));
        file.read(at, part);
        add(part);
    }
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
