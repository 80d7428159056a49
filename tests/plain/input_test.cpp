// What is read from outside: JSON, YAML, messages and files, at and beyond their limits.
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <zlib.h>

#include <fstream>

#include "io/fields.h"
#include "io/json.h"
#include "io/mapped_file.h"
#include "io/safetensors.h"
#include "io/text_file.h"
#include "io/yaml.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace loraxs {
namespace {

std::string nested(int levels) { return std::string(levels, '[') + std::string(levels, ']'); }

TEST(JsonTest, DepthAndKeysAndMemoryAreBounded) {
  EXPECT_NO_THROW(parse_json(nested(100), "f"));
  EXPECT_ERROR(parse_json(nested(101), "f"), "f: expected JSON nested at most 100 deep");
  EXPECT_ERROR(parse_json(nested(1'000'000), "f"), "nested at most 100 deep");
  EXPECT_ERROR(parse_json(std::string(1'000'000, '['), "f"), "nested at most 100 deep");
  EXPECT_ERROR(parse_ordered_json(R"({"a":1,"b":2,"c":3})", "f", {.keys = 2}), "at most 2 keys in one object");
  EXPECT_ERROR(parse_json("[1,2,3,4]", "f", {.memory = 100}), "of memory, found more");
  EXPECT_ERROR(parse_json("[1]", "f", {.bytes = 2}), "found 3 bytes");
}

TEST(JsonTest, ErrorsNameTheLine) {
  EXPECT_ERROR(parse_json("{\"a\": 1,\n\"b\": x}", "c.json"), "c.json:2: expected JSON: ");
  EXPECT_ERROR(parse_json("{\"a\": 1e999}", "c.json"), "c.json: expected JSON: number overflow");
  EXPECT_ERROR(parse_json("\"\xff\"", "c.json"), "ill-formed UTF-8");
  EXPECT_ERROR(parse_json("", "c.json"), "unexpected end of input");
  EXPECT_ERROR(parse_json("{} {}", "c.json"), "expected end of input");
}

TEST(JsonTest, KeepsOrderAndTheLastOfTwoEqualKeys) {
  EXPECT_EQ(parse_ordered_json(R"({"b":1,"a":[{"z":null}],"b":{"y":true}})", "f").dump(),
            R"({"b":{"y":true},"a":[{"z":null}]})");
  EXPECT_EQ(parse_json(R"({"b":1,"a":2,"b":3.5})", "f").dump(), R"({"a":2,"b":3.5})");
  EXPECT_ERROR(parse_json(R"({"b":1,"a":2,"b":3})", "f", {.unique_keys = true}), "b stands twice");
  EXPECT_EQ(parse_json("[-9223372036854775808,18446744073709551615]", "f").dump(),
            "[-9223372036854775808,18446744073709551615]");
  EXPECT_TRUE(json_or_null("{").is_null());
}

TEST(MessageTest, IsPrintableAndShort) {
  EXPECT_STREQ(Error("a\x1b[2J\n\t\x7f\xff \u202e\u0085 ü…").what(), "a\\x1b[2J\\n\\t\\x7f\\xff \\u202e\\x85 ü…");
  EXPECT_STREQ(Error(Error("\x1b").what()).what(), "\\x1b");  // twice escaped is once escaped
  for (const std::string piece : {"x", "ü", "\x01", "\xff", "😀", "\u2028"}) {
    std::string text = "begin ";
    while (text.size() < 100'000) text += piece;
    const std::string what = Error(text + " end").what();
    EXPECT_LE(what.size(), kMessageBytes);
    EXPECT_TRUE(what.starts_with("begin ") && what.ends_with(" end")) << what;
    EXPECT_EQ(first_invalid_utf8(what), std::string::npos);
  }
  EXPECT_EQ(Error(std::string(kMessageBytes, 'x')).what(), std::string(kMessageBytes, 'x'));
  EXPECT_EQ(shortened("abcdefghijkl", 8), "abcde…");
  EXPECT_EQ(json_text(nlohmann::json("\u202e\x7f\xff")), "\"\\u202e\\u007f\uFFFD\"");
}

TEST(YamlTest, IsBoundedAfterAliases) {
  EXPECT_ERROR(parse_yaml("a: &a [*a]\n", "r.yaml"), "r.yaml:1: expected a value, found an alias inside");
  EXPECT_ERROR(parse_yaml("&a {b: *a}\n", "r.yaml"), "found an alias inside");
  std::string laughs = "a: &a [x, x, x, x, x, x, x, x, x, x]\n";
  for (char c = 'b'; c < 'k'; ++c) {
    laughs += concat(c, ": &", c, " [");
    for (int i = 0; i < 10; ++i) laughs += concat(i == 0 ? "*" : ", *", static_cast<char>(c - 1));
    laughs += "]\n";
  }
  EXPECT_ERROR(parse_yaml(laughs, "r.yaml"), "at most 100000 values, aliases included");
  EXPECT_ERROR(parse_yaml("a: " + nested(101), "r.yaml"), "nested at most 100 deep");
  EXPECT_ERROR(parse_yaml("a: " + nested(100'000), "r.yaml"), "r.yaml:");
  EXPECT_ERROR(parse_yaml("a: 1\nrank: \"\xff\"\n", "r.yaml"), "r.yaml:2: expected UTF-8, found \\xff");
  EXPECT_ERROR(parse_yaml(std::string("\x01\0\0\0\0\0\0x;", 9), "r.yaml"), "r.yaml:1: expected UTF-8, found UTF-16");
  EXPECT_ERROR(parse_yaml(std::string("a: \0\0\0;", 7), "r.yaml"),
               "r.yaml:1: expected text in UTF-8, found a zero byte");
  EXPECT_ERROR(parse_yaml("? [a]\n: b\n", "r.yaml"), "expected a text as key, found array");
  EXPECT_EQ(parse_yaml("a: &x {k: [1, 2.5, ~, yes, '3']}\nb: *x\n", "r.yaml").dump(),
            R"({"a":{"k":[1,2.5,null,"yes","3"]},"b":{"k":[1,2.5,null,"yes","3"]}})");
}

TEST(YamlTest, TextsStayTexts) {
  for (const std::string text :
       {"123", "1.5", "~",   "null",         "true",   "no",   "Off", "y",      "2024-01-01", "0x10", ".5",
        "-1",  "",    " a",  "a b",          "a: b",   "#x",   "'",   "\"",     "\\",         "a\nb", "*a",
        "&a",  "!a",  "- a", "runs/a-b_c.1", "/tmp/x", "../x", "ü",   "\u0085", "e5"}) {
    EXPECT_EQ(parse_yaml("k: " + yaml_scalar(text) + "  # comment\n", "r").at("k"), text) << yaml_scalar(text);
  }
  const nlohmann::json value = {
      {"train", "a, b.csv"}, {"name", "own"}, {"a: b", {{"c", {1, "x}"}}, {"name", nullptr}}}, {"no", true}, {"e", {}}};
  EXPECT_EQ(parse_yaml("k: " + yaml_flow(value) + "  # comment\n", "r").at("k"), value) << yaml_flow(value);
  EXPECT_EQ(yaml_flow({{"data", "data/qnli"}, {"name", "qnli"}}), "{name: qnli, data: data/qnli}");
  EXPECT_EQ(yaml_scalar("runs/qnli-1"), "runs/qnli-1");
  EXPECT_EQ(yaml_scalar("123"), "\"123\"");
}

TEST(FieldsTest, NumbersAreExactAndListsNotEmpty) {
  const auto fields = [](const std::string& json) { return Fields(parse_json(json, "f"), "f"); };
  EXPECT_EQ(fields(R"({"k":[9007199254740993,-5]})").integers("k", {}), (std::vector<int64_t>{9007199254740993, -5}));
  EXPECT_EQ(fields(R"({"k":[2.0]})").integers("k", {}), std::vector<int64_t>{2});
  EXPECT_ERROR(fields(R"({"k":[18446744073709551615]})").integers("k", {}), "k: expected integers below 2^63");
  EXPECT_ERROR(fields(R"({"k":[1e300]})").integers("k", {}), "k: expected integers below 2^63");
  EXPECT_ERROR(fields(R"({"k":18446744073709551615})").integer("k", 0), "k: expected an integer below 2^63");
  EXPECT_ERROR(fields(R"({"k":[9007199254740993]})").numbers("k", {}), "k: expected numbers that float64 holds");
  EXPECT_ERROR(fields(R"({"k":9007199254740993})").number("k", 0), "k: expected a number that float64 holds");
  EXPECT_EQ(fields(R"({"k":9007199254740992})").number("k", 0), 9007199254740992.0);
  EXPECT_ERROR(fields(R"({"k":[]})").integers("k", {1}), "k: expected at least one in the list");
  EXPECT_ERROR(fields(R"({"k":[]})").numbers("k", {1}), "k: expected at least one in the list");
  EXPECT_ERROR(fields(R"({"k":[]})").strings("k", {"a"}), "k: expected at least one in the list");
  EXPECT_ERROR(fields(R"({"k":1001})").positive_int("k", 1, 1000), "k: expected an integer from 1 to 1000, found 1001");
  Fields theirs = fields(R"({"k":[]})");
  theirs.ignore_unknown();
  EXPECT_TRUE(theirs.strings("k", {"a"}).empty());
}

TEST(InputFileTest, OnlyRegularFilesAreOpened) {
  const test::TemporaryFolder folder;
  ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
  ASSERT_EQ(mkfifo((folder / "pipe.csv.gz").c_str(), 0600), 0);
  const int server = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{.sun_family = AF_UNIX};
  std::snprintf(address.sun_path, sizeof address.sun_path, "%s", (folder / "socket").c_str());
  ASSERT_EQ(bind(server, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  EXPECT_ERROR(MappedFile::open(folder / "pipe"), "expected a file, found a named pipe");
  EXPECT_ERROR(read_text_file(folder / "pipe"), "expected a file, found a named pipe");
  EXPECT_ERROR(read_text_file(folder / "pipe.csv.gz"), "expected a file, found a named pipe");
  EXPECT_ERROR(read_yaml(folder / "socket"), "expected a file, found a socket");
  EXPECT_ERROR(read_json("/dev/zero"), "expected a file, found a device");
  EXPECT_ERROR(read_json(folder.path()), "expected a file, found a folder");
  close(server);
}

TEST(MappedFileTest, SmallFilesAreCopied) {
  const test::TemporaryFolder folder;
  std::ofstream(folder / "f") << std::string(100'000, 'x');
  const auto file = MappedFile::open(folder / "f");
  std::filesystem::resize_file(folder / "f", 1);
  file->release_pages();
  EXPECT_EQ(file->text(), std::string(100'000, 'x'));
}

TEST(MappedFileDeathTest, ALargeFileThatBecomesShorterEndsWithASentence) {
  const test::TemporaryFolder folder;
  std::ofstream(folder / "f") << "x";
  std::filesystem::resize_file(folder / "f", 2 * MappedFile::kCopiedBytes);
  const auto touch = [&] {
    end_cleanly_on_lost_pages();
    const auto file = MappedFile::open(folder / "f");
    std::filesystem::resize_file(folder / "f", 1);
    volatile char last = file->text().back();
    (void)last;
  };
  EXPECT_EXIT(touch(), testing::ExitedWithCode(2), "loraxs: .*/f: expected 33554432 bytes, found fewer");
}

TEST(TextFileTest, GzipUnpacksWithinBounds) {
  const test::TemporaryFolder folder;
  const auto pack = [&](const std::string& text) {
    const gzFile file = gzopen((folder / "t.csv.gz").c_str(), "wb9");
    gzwrite(file, text.data(), static_cast<unsigned>(text.size()));
    gzclose(file);
  };
  pack(std::string(1'000'000, 'a'));
  EXPECT_EQ(read_text_file(folder / "t.csv.gz").size(), 1'000'000U);  // small ones may repeat themselves
  pack(std::string(64'000'000, 'a'));
  EXPECT_ERROR(read_text_file(folder / "t.csv.gz"), "expected at most 100 times");
}

TEST(SafetensorsTest, AZeroHidesNoOverflow) {
  const auto parse = [](const std::string& shape) {
    const std::string header = R"({"t":{"dtype":"F32","shape":)" + shape + R"(,"data_offsets":[0,0]}})";
    const uint64_t size = header.size();
    std::string bytes(reinterpret_cast<const char*>(&size), sizeof size);
    bytes += header;
    return parse_safetensors(std::as_bytes(std::span(bytes)), "w").tensors.at("t").shape;
  };
  EXPECT_EQ(parse("[0,3]"), (std::vector<int64_t>{0, 3}));
  EXPECT_ERROR(parse("[0,4611686018427387904,4611686018427387904]"), "w: t: shape: too large");
  EXPECT_ERROR(parse("[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]"), "w: t: shape: expected at most 16 sizes");
}

}  // namespace
}  // namespace loraxs
