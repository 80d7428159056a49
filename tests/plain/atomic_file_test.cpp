// What a write may touch: its own path where nothing is, or what is ours, and never anybody else's.
#include "io/atomic_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <fstream>
#include <map>
#include <thread>

#include "io/append_file.h"
#include "io/mapped_file.h"
#include "io/unfinished.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace loraxs {
namespace {

using std::filesystem::path;

std::string text_of(const path& file) { return std::string(MappedFile::open(file)->text()); }

void put(const path& file, const std::string& text) {
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file) << text;
}

/// Every entry below a folder: its kind, and the bytes or where it leads.
std::map<std::string, std::string> tree_of(const path& folder) {
  std::map<std::string, std::string> tree;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    const auto type = entry.symlink_status().type();
    tree[entry.path().string()] = type == std::filesystem::file_type::symlink
                                      ? "-> " + std::filesystem::read_symlink(entry.path()).string()
                                  : type == std::filesystem::file_type::regular ? text_of(entry.path())
                                                                                : "other";
  }
  return tree;
}

/// Somebody's own things, one of each kind, in a folder.
std::vector<path> make_others(const path& folder) {
  put(folder / "file", "mine");
  put(folder / "folder" / "file", "mine");
  std::filesystem::create_directory(folder / "empty");
  std::filesystem::create_symlink("file", folder / "link");
  std::filesystem::create_symlink("folder", folder / "link-to-folder");
  std::filesystem::create_symlink("nowhere", folder / "loose-link");
  std::filesystem::create_hard_link(folder / "file", folder / "hard-link");
  EXPECT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
  std::vector<path> all;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) all.push_back(entry.path());
  return all;
}

TEST(AtomicFileTest, AnOutputNeverTouchesWhatIsThere) {
  const test::TemporaryFolder folder;
  const std::vector<path> others = make_others(folder.path());
  const auto before = tree_of(folder.path());
  for (const path& other : others) {
    SCOPED_TRACE(other.string());
    EXPECT_ERROR(refuse_existing(other, "--out"), "expected nothing there, found a");
    EXPECT_ERROR(write_file_atomically(other, "x"), "expected nothing there, found a");
    EXPECT_ERROR(write_folder_atomically(other, [](const path&) {}), "expected nothing there, found a");
    EXPECT_EQ(tree_of(folder.path()), before);
  }
  refuse_existing(folder / "new", "--out");
}

TEST(AtomicFileTest, APlaceThatCannotBeWrittenIsToldBeforeTheWork) {
  const test::TemporaryFolder folder;
  write_file_atomically(folder / "file", "x");
  EXPECT_ERROR(refuse_existing(folder / "missing" / "out", "--out"), "missing: cannot write in: No such file");
  EXPECT_ERROR(refuse_existing(folder / "file" / "out", "--out"), "file: cannot write in: Not a directory");
  refuse_existing("new", "--out");
  refuse_existing("new/", "--out");
}

TEST(AtomicFileTest, WhatCameWhileItWasWrittenStays) {
  const test::TemporaryFolder folder;
  const auto come = [&](const std::string& name) { return [&, name](const auto&) { put(folder / name, "theirs"); }; };
  EXPECT_ERROR(write_file_atomically(folder / "f", std::function<void(const ByteSink&)>(come("f"))), "found a file");
  EXPECT_ERROR(write_folder_atomically(folder / "d", come("d")), "found a file");
  EXPECT_ERROR(write_folder_atomically(folder / "e", [&](const path&) { put(folder / "e" / "file", "theirs"); }),
               "found a folder");
  EXPECT_EQ(tree_of(folder.path()).size(), 4U);  // and nothing half-written is left
  for (const char* name : {"f", "d", "e/file"}) EXPECT_EQ(text_of(folder / name), "theirs");
}

TEST(AtomicFileTest, OldBytesStayWhenWritingFails) {
  const test::TemporaryFolder folder;
  write_file_atomically(folder / "f", "old");
  EXPECT_ERROR(write_file_atomically(folder.path(), "x", Existing::kReplaced), "expected a file to write");
  EXPECT_ERROR(write_file_atomically(folder / "missing" / "f", "x"), "folder does not exist");
  const auto stop = [](const auto&) { throw std::runtime_error("stop"); };
  EXPECT_THROW(write_folder_atomically(folder / "d", stop), std::runtime_error);
  EXPECT_FALSE(std::filesystem::exists(folder / "d"));
  EXPECT_EQ(tree_of(folder.path()).size(), 1U);  // nothing half-written is left
  const auto with = [](const char* text) {
    return [text](const path& aside) { write_file_atomically(aside / "a", text); };
  };
  write_folder_atomically(folder / "d/", with("1"));
  EXPECT_THROW(write_folder_atomically(folder / "d", stop, Existing::kReplaced), std::runtime_error);
  EXPECT_EQ(text_of(folder / "d" / "a"), "1");
  write_folder_atomically(folder / "d", with("2"), Existing::kReplaced);
  EXPECT_EQ(text_of(folder / "d" / "a"), "2");
  EXPECT_EQ(tree_of(folder.path()).size(), 3U);
}

TEST(AtomicFileTest, AReplacedFolderIsThereAtEveryMoment) {
  const test::TemporaryFolder folder;
  const auto write = [&](int round) {
    const auto fill = [&](const path& aside) { write_file_atomically(aside / "a", std::to_string(round)); };
    write_folder_atomically(folder / "d", fill, Existing::kReplaced);
  };
  write(0);
  std::atomic<bool> done = false;
  int64_t looks = 0, missing = 0;
  std::thread reader([&] {
    for (struct stat status{}; !done; ++looks) missing += stat((folder / "d" / "a").c_str(), &status) != 0;
  });
  for (int round = 1; round <= 200; ++round) write(round);
  done = true;
  reader.join();
  EXPECT_GT(looks, 200);
  EXPECT_EQ(missing, 0) << "of " << looks;
}

TEST(AtomicFileTest, ReplacingTakesNothingThatIsNotOurs) {
  const test::TemporaryFolder folder;
  put(folder / "theirs", "theirs");
  std::filesystem::create_symlink("theirs", folder / "link");
  std::filesystem::create_hard_link(folder / "theirs", folder / "hard-link");
  for (const char* name : {"link", "hard-link"}) {
    write_file_atomically(folder / name, "ours", Existing::kReplaced);
    EXPECT_EQ(text_of(folder / name), "ours");
    EXPECT_FALSE(std::filesystem::is_symlink(folder / name));
    EXPECT_EQ(text_of(folder / "theirs"), "theirs");
  }
  const auto fill = [](const path& aside) { write_file_atomically(aside / "a", "new"); };
  const auto refuse = [&](const char* message) {
    const auto before = tree_of(folder.path());
    EXPECT_ERROR(write_folder_atomically(folder / "d", fill, Existing::kReplaced), message);
    EXPECT_EQ(tree_of(folder.path()), before);
    std::filesystem::remove_all(folder / "d");
  };
  put(folder / "d" / "a", "old");
  put(folder / "d" / "notes.txt", "theirs");
  refuse("found notes.txt; move it");
  put(folder / "d" / "a" / "deep", "theirs");
  refuse("found a;");
  std::filesystem::create_directory(folder / "d");
  std::filesystem::create_symlink("../theirs", folder / "d" / "a");
  refuse("found a;");
  std::filesystem::create_directory_symlink("elsewhere", folder / "d");
  refuse("found a link");
  EXPECT_EQ(text_of(folder / "theirs"), "theirs");
}

TEST(AtomicFileTest, OutputsLieOutsideOfInputs) {
  const test::TemporaryFolder folder;
  std::filesystem::create_directories(folder / "model" / "inner");
  std::filesystem::create_directory_symlink(folder / "model", folder / "alias");
  put(folder / "file.gguf", "x");
  for (const path& out : {folder / "model" / "out", folder / "model" / "inner" / "out", folder / "alias" / "out",
                          folder / "model" / ".." / "model" / "out", folder / "model"}) {
    EXPECT_ERROR(refuse_inside(out, folder / "model", "--out"), "expected a place outside");
    EXPECT_ERROR(refuse_inside(out, folder / "alias", "--out"), "expected a place outside");
  }
  for (const path& out : {folder / "model2", folder / "out", folder.path() / "model" / ".." / "out"}) {
    refuse_inside(out, folder / "model", "--out");
    refuse_inside(out, folder / "file.gguf", "--out");
    refuse_inside(out, folder / "absent", "--out");
  }
}

TEST(UnfinishedTest, OnlyLeftoversOfOursGo) {
  const test::TemporaryFolder folder;
  const std::string mark = ".loraxs-unfinished-";
  make_others(folder.path());
  for (const char* name : {".git/config", ".ssh/id", ".hidden", ".loraxs-run", ".loraxs-unfinished", "x"}) {
    put(folder / name, "mine");
  }
  for (const char* ending : {"", "abc12", "abc1234", "abc-12", "mine/file"}) put(folder / (mark + ending), "mine");
  std::filesystem::create_symlink("file", folder / (mark + "linkto"));
  std::filesystem::create_directory_symlink("folder", folder / (mark + "LINKTO"));
  EXPECT_EQ(mkfifo((folder / (mark + "apipe1")).c_str(), 0600), 0);
  put(folder / "folder" / (mark + "abc123"), "in a folder of its own");
  const auto before = tree_of(folder.path());
  put(folder / (mark + "abc123"), "left");
  put(folder / (mark + "Zz9999") / "state.json", "left");
  std::filesystem::create_symlink("../file", folder / (mark + "Zz9999") / "link");
  {
    const Unfinished held(folder / "result", Unfinished::Kind::kFile);
    const Unfinished busy(folder / "result", Unfinished::Kind::kFolder);
    put(busy.path() / "file", "being written");
    remove_unfinished(folder.path());
    EXPECT_TRUE(std::filesystem::exists(held.path()));
    EXPECT_EQ(text_of(busy.path() / "file"), "being written");
  }
  EXPECT_EQ(tree_of(folder.path()), before);
  remove_unfinished(folder / "absent");
}

TEST(MakeFolderTest, ALinkIsNoFolderOfOurs) {
  const test::TemporaryFolder folder;
  make_others(folder.path());
  make_folder(folder / "folder");
  make_folder(folder / "fresh");
  EXPECT_TRUE(std::filesystem::is_directory(folder / "fresh"));
  for (const char* name : {"link-to-folder", "loose-link", "file"}) {
    EXPECT_ERROR(make_folder(folder / name), "expected a folder of this run");
  }
  EXPECT_ERROR(make_folder(folder / "absent" / "deeper"), "its folder does not exist");
}

TEST(AppendFileTest, OneWriterAtATimeAndRegularFilesOnly) {
  const test::TemporaryFolder folder;
  make_others(folder.path());
  {
    AppendFile first(folder / "log");
    first.append("one\n");
    EXPECT_ERROR(AppendFile(folder / "log"), "another process holds");
  }
  AppendFile(folder / "log").append("two\n");
  EXPECT_EQ(text_of(folder / "log"), "one\ntwo\n");
  EXPECT_ERROR(AppendFile(folder / "pipe"), "pipe: ");
  EXPECT_ERROR(AppendFile(folder / "folder"), "folder: cannot open");
}

}  // namespace
}  // namespace loraxs
