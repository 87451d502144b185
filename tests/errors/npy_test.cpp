#include "support/temporary_folder.h"
#include "tools/npy.h"

#include <leat/error.h>

#include <gtest/gtest.h>

#include <cstring>

namespace leat {
namespace {

using namespace std::string_literals;

std::string npy(const std::string &header, const std::string &elements)
{
    return "\x93NUMPY\x01\x00"s + char(header.size() & 255) + char(header.size() >> 8) + header + elements;
}

std::string message(const std::filesystem::path &path)
{
    try {
        read_npy(path);
        return "no error";
    } catch (const Error &error) {
        const std::string prefix = "while reading \"" + path.string() + "\": ";
        EXPECT_TRUE(std::string(error.what()).starts_with(prefix)) << error.what();
        return std::string(error.what()).substr(prefix.size());
    }
}

TEST(Npy, KeepsEveryTypeAndShape)
{
    const TemporaryFolder folder;
    for (Type type : {Type::f32, Type::f16, Type::f64, Type::u8, Type::s8, Type::u16, Type::s16, Type::u32, Type::s32,
                      Type::u64, Type::s64, Type::boolean})
        for (const Shape &shape : {Shape{}, Shape{5}, Shape{0, 3}, Shape{2, 3, 4}}) {
            Tensor written(type, shape);
            for (size_t i = 0; i < written.bytes(); i++)
                written.raw()[i] = std::byte(type == Type::boolean ? i % 2 : i * 7);
            write_npy(folder / "a.npy", written);
            const Tensor read = read_npy(folder / "a.npy");
            ASSERT_EQ(read.type(), type);
            ASSERT_EQ(read.shape(), shape);
            EXPECT_EQ(std::memcmp(read.raw(), written.raw(), read.bytes()), 0) << to_string(type);
        }
}

TEST(Npy, WritesWhatNumpyWrites)
{
    const TemporaryFolder folder;
    write_npy(folder / "a.npy", Tensor::of<uint8_t>({3}, {1, 2, 3}));
    std::ifstream file(folder / "a.npy", std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(file)), {});
    std::string header = "{'descr': '|u1', 'fortran_order': False, 'shape': (3,), }";
    header.resize(117, ' ');
    EXPECT_EQ(bytes, npy(header + "\n", "\x01\x02\x03"));
}

TEST(Npy, TurnsFortranOrderAndBigEndian)
{
    const TemporaryFolder folder;
    const auto path = folder.write(
        "a.npy", npy("{'descr': '>u2', 'fortran_order': True, 'shape': (2, 3)}", "\0\1\0\4\0\2\0\5\0\3\0\6"s));
    const Tensor tensor = read_npy(path);
    EXPECT_EQ(tensor.shape(), (Shape{2, 3}));
    EXPECT_EQ(tensor.to_int64(), (std::vector<int64_t>{1, 2, 3, 4, 5, 6}));
}

TEST(Npy, RefusesDamagedFilesWithASentence)
{
    const TemporaryFolder folder;
    EXPECT_EQ(message(folder / "absent.npy"), "the file cannot be opened; check the path and its permissions");
    const struct {
        std::string bytes, message;
    } cases[] = {
        {"", "the file ends inside the header"},
        {"PK\3\4 is a zip file", "this is not a NumPy array file; save one with numpy.save()"},
        {"\x93NUMPY\x07\x00\x00\x00"s, "format version 7 is unknown; versions 1 to 3 can be read"},
        {"\x93NUMPY\x02\x00\xff\xff\xff\xff"s, "the header says that it has 4294967295 bytes, which is absurd"},
        {npy("{'descr': '<f4', 'shape': (2,)}", ""), "the header lacks 'descr', 'fortran_order' or 'shape'"},
        {npy("{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}", ""),
         "the element type '<c8' is not supported; convert the array with astype()"},
        {npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", ""),
         "'shape' is not a tuple of at most 32 sizes"},
        {npy("{'descr': '<f4', 'fortran_order': Maybe, 'shape': (1,)}", ""),
         "'fortran_order' is neither True nor False"},
        {npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", ""), "the header lacks a '''"},
        {npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000)}", "1234"),
         "the file is truncated: 4 bytes are too few for 1000000x1000000 elements of type f32"},
    };
    for (const auto &[bytes, expected] : cases)
        EXPECT_EQ(message(folder.write("a.npy", bytes)), expected);
}

TEST(Npy, RefusesToWriteWhatNumpyLacks)
{
    const TemporaryFolder folder;
    try {
        write_npy(folder / "a.npy", Tensor(Type::bf16, {1}));
        FAIL();
    } catch (const Error &error) {
        EXPECT_EQ(error.what(), "while writing \"" + (folder / "a.npy").string() +
                                    "\": NumPy has no element type bf16; convert the tensor to f32");
    }
}

} // namespace
} // namespace leat
