// What an LMDB store does about files that are damaged, cut, foreign or newer, and about compaction by others.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <random>

#include "io/error.h"
#include "io/mapped_file.h"
#include "io/text_file.h"
#include "store/store.h"
#include "store/write_lock.h"
#include "support/expect_error.h"
#include "support/store_rows.h"
#include "support/temporary_folder.h"

namespace loraxs {
namespace {

using test::new_row;
using test::random_row;

constexpr std::uint64_t kNames = 60;

StoreUrl lmdb_url(const std::filesystem::path& folder) { return parse_store_url("lmdb://" + folder.string()); }

/// Names n0 … n59 of two tenants with the rows of their numbers, the first ten with an older version.
void fill(const std::filesystem::path& folder) {
  const auto store = open_store(lmdb_url(folder), OpenStore::kCreate);
  const Digest kind = test::put_kind(*store);
  for (const std::uint64_t round : {1000, 0}) {
    for (std::uint64_t i = 0; i < (round > 0 ? 10 : kNames); ++i) {
      const std::vector<std::byte> row = random_row(i + round, 64 + 20 * (i % 60));
      store->put(new_row({i % 2 == 0 ? "anna" : "bob", "n" + std::to_string(i)}, row, kind));
    }
  }
}

enum Outcome { kRight = 0, kRefused = 2, kWrong = 7 };

/// In a process of its own: everything that was put is read as it is, or refused by name.
int read_all(const std::filesystem::path& folder, bool checks) {
  const pid_t child = fork();
  if (child == 0) {
    const int null = ::open("/dev/null", O_WRONLY);
    ::dup2(null, STDERR_FILENO);
    end_cleanly_on_lost_pages();
    alarm(20);
    int outcome = kRight;
    try {
      const auto store = open_store(lmdb_url(folder));
      for (std::uint64_t i = 0; i < kNames; ++i) {
        const AdapterName name{i % 2 == 0 ? "anna" : "bob", "n" + std::to_string(i)};
        try {
          const StoredRow row = store->get(name);
          if (row.row != random_row(i, 64 + 20 * (i % 60))) _exit(kWrong);
        } catch (const Error& error) {
          // Damage is to be called so: "no such name" of a name that was put is a wrong answer.
          if (checks && std::string(error.what()).find("amaged") == std::string::npos) _exit(kWrong);
          outcome = kRefused;
        }
      }
      try {
        std::uint64_t listed = 0;
        for (const RowInfo& each : store->list({})) {
          ++listed;
          if (each.name.name.front() != 'n') _exit(kWrong);
        }
        if (listed != kNames) _exit(kWrong);
      } catch (const Error&) {
        outcome = kRefused;
      }
    } catch (const Error&) {
      outcome = kRefused;
    }
    _exit(outcome);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

std::string bytes_of(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write_bytes(const std::filesystem::path& file, const std::string& bytes) {
  std::ofstream(file, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

TEST(LmdbDamageTest, AFlippedByteAnywhereIsNamed) {
  const test::TemporaryFolder folder;
  fill(folder / "s");
  ASSERT_EQ(read_all(folder / "s", true), kRight);
  const std::filesystem::path data = folder / "s" / "1" / "data.mdb";
  const std::string whole = bytes_of(data);
  const char* asked = std::getenv("LORAXS_FLIPS");
  const int flips = asked != nullptr ? std::atoi(asked) : 200;
  std::mt19937_64 generator(5);
  int refused = 0;
  for (int i = 0; i < flips; ++i) {
    // Half of them where pages of the tables are, which the rows outweigh: any byte of 4,096 that begins a page.
    std::size_t at = generator() % whole.size();
    if (i % 2 == 0) at = at / 4096 * 4096 + generator() % 64;
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << generator() % 8));
    write_bytes(data, damaged);
    const int outcome = read_all(folder / "s", true);
    EXPECT_TRUE(outcome == kRight || outcome == kRefused) << "byte " << at << " of " << whole.size() << ": " << outcome;
    refused += outcome == kRefused ? 1 : 0;
  }
  EXPECT_GT(refused, flips / 10);
}

TEST(LmdbDamageTest, APageOfAnotherSortIsNamed) {
  constexpr std::size_t kPage = 4096, kFlagsAt = 10;  // where a page says what it is
  const test::TemporaryFolder folder;
  fill(folder / "s");
  const std::filesystem::path data = folder / "s" / "1" / "data.mdb";
  const std::string whole = bytes_of(data);
  int refused = 0;
  for (std::size_t page = 2; page < std::min<std::size_t>(40, whole.size() / kPage); ++page) {
    for (const char mask : {'\x03', '\xff'}) {  // of the first, LMDB would assert and abort
      std::string damaged = whole;
      damaged[page * kPage + kFlagsAt] ^= mask;
      write_bytes(data, damaged);
      const int outcome = read_all(folder / "s", true);
      EXPECT_TRUE(outcome == kRight || outcome == kRefused) << "page " << page << ": " << outcome;
      refused += outcome == kRefused ? 1 : 0;
    }
  }
  EXPECT_GT(refused, 10);
}

TEST(LmdbDamageTest, ACutFileIsNamed) {
  const test::TemporaryFolder folder;
  fill(folder / "s");
  const std::filesystem::path data = folder / "s" / "1" / "data.mdb";
  const std::string whole = bytes_of(data);
  std::mt19937_64 generator(6);
  for (int i = 0; i < 60; ++i) {
    const std::size_t length = i < 3 ? static_cast<std::size_t>(i) * 4000 : generator() % whole.size();
    write_bytes(data, whole.substr(0, length));
    EXPECT_EQ(read_all(folder / "s", true), kRefused) << "cut to " << length << " of " << whole.size();
  }
}

TEST(LmdbDamageTest, AnotherPutHealsARow) {
  const test::TemporaryFolder folder;
  fill(folder / "s");
  const std::filesystem::path data = folder / "s" / "1" / "data.mdb";
  std::string bytes = bytes_of(data);
  const std::vector<std::byte> row = random_row(40, 64 + 20 * 40);
  const std::size_t at = bytes.find(std::string(reinterpret_cast<const char*>(row.data()), 64));
  ASSERT_NE(at, std::string::npos);
  bytes[at] ^= 1;
  write_bytes(data, bytes);
  const auto store = open_store(lmdb_url(folder / "s"));
  EXPECT_ERROR(store->get({"anna", "n40"}), "its checksum (XXH3) is another");
  std::vector<std::string> problems;
  store->verify([&](const std::string& problem) { problems.push_back(problem); });
  EXPECT_THAT(problems, testing::ElementsAre(testing::HasSubstr("#anna/n40@1: damaged")));
  const PutResult healed = store->put(new_row({"anna", "n40"}, row, store->shared_digests(SharedKind::kKind).front()));
  EXPECT_TRUE(healed.added);
  EXPECT_EQ(store->get({"anna", "n40"}).row, row);
  problems.clear();
  store->verify([&](const std::string& problem) { problems.push_back(problem); });
  EXPECT_THAT(problems, testing::IsEmpty());
}

TEST(LmdbDamageTest, ListsWhatIsWholeBesideADamagedRow) {
  const test::TemporaryFolder folder;
  fill(folder / "s");
  const std::filesystem::path data = folder / "s" / "1" / "data.mdb";
  std::string bytes = bytes_of(data);
  for (const std::uint64_t seed : {4U, 1006U}) {  // n4's newest version and n6's older one
    const std::vector<std::byte> row = random_row(seed, 64 + 20 * (seed % 1000));
    const std::string begin(reinterpret_cast<const char*>(row.data()), 64);
    ASSERT_NE(bytes.find(begin), std::string::npos);
    for (std::size_t at = bytes.find(begin); at != std::string::npos; at = bytes.find(begin)) bytes[at] ^= 1;
  }
  write_bytes(data, bytes);
  const auto store = open_store(lmdb_url(folder / "s"));
  EXPECT_ERROR(store->list({}), "#anna/n4@2: damaged");
  std::vector<std::string> problems;
  const OnProblem hear = [&](const std::string& problem) { problems.push_back(problem); };
  std::size_t listed = 0;
  ListQuery query{.limit = 7, .on_problem = hear};
  for (bool more = true; more;) {
    const std::vector<RowInfo> page = store->list(query);
    listed += page.size();
    more = page.size() == query.limit;
    if (more) query.after = page.back().name;
  }
  EXPECT_EQ(listed, kNames - 1);
  EXPECT_THAT(problems, testing::ElementsAre(testing::HasSubstr("#anna/n4@2: damaged")));
  problems.clear();
  const std::vector<RowInfo> fourth = store->versions({"anna", "n4"}, hear),
                             sixth = store->versions({"anna", "n6"}, hear);
  ASSERT_EQ(fourth.size(), 1U);
  EXPECT_EQ(fourth.front().header.version, 1U);
  ASSERT_EQ(sixth.size(), 1U);
  EXPECT_EQ(sixth.front().header.version, 2U);
  EXPECT_THAT(problems, testing::ElementsAre(testing::HasSubstr("#anna/n4@2: damaged"),
                                             testing::HasSubstr("#anna/n6@1: damaged")));
}

/// A store in which the newest version of n4 is damaged, and the only one of n12.
std::shared_ptr<Store> open_with_damaged_newest(const std::filesystem::path& folder) {
  fill(folder);
  const std::filesystem::path data = folder / "1" / "data.mdb";
  std::string bytes = bytes_of(data);
  for (const std::uint64_t seed : {4U, 12U}) {
    const std::vector<std::byte> row = random_row(seed, 64 + 20 * seed);
    const std::string begin(reinterpret_cast<const char*>(row.data()), 64);
    for (std::size_t at = bytes.find(begin); at != std::string::npos; at = bytes.find(begin)) bytes[at] ^= 1;
  }
  write_bytes(data, bytes);
  return open_store(lmdb_url(folder));
}

TEST(LmdbDamageTest, ADamagedNewestVersionHidesNoOlderOne) {
  const test::TemporaryFolder folder;
  const auto store = open_with_damaged_newest(folder / "s");
  const std::vector<std::byte> older = random_row(1004, 64 + 20 * 4);
  EXPECT_ERROR(store->get({"anna", "n4"}), "#anna/n4@2: damaged: its checksum");
  EXPECT_ERROR(store->get({"anna", "n4"}),
               "; loraxs store rollback " + lmdb_url(folder / "s").text + "#anna/n4@1 makes the version before it");
  EXPECT_ERROR(store->get({"anna", "n4"}, 2), "#anna/n4@2: damaged");
  EXPECT_EQ(store->get({"anna", "n4"}, 1).row, older);
  EXPECT_ERROR(store->get({"anna", "n4"}, 7), "expected a version from 1 to 1 that was kept");
  EXPECT_ERROR(store->get({"anna", "n12"}, 7), "#anna/n12@1: damaged");
  EXPECT_ERROR(store->get({"anna", "n99"}), "found none of that name");
  EXPECT_EQ(store->rollback({"anna", "n4"}, 1).version, 3U);
  EXPECT_EQ(store->get({"anna", "n4"}).row, older);
}

TEST(LmdbDamageTest, ADamagedNewestVersionIsDeletedAlone) {
  const test::TemporaryFolder folder;
  const auto store = open_with_damaged_newest(folder / "s");
  EXPECT_EQ(store->remove({"anna", "n4"}, 2), 1U);
  EXPECT_EQ(store->get({"anna", "n4"}).header.version, 1U);
  EXPECT_EQ(store->remove({"anna", "n12"}), 1U);
  std::vector<std::string> problems;
  store->verify([&](const std::string& problem) { problems.push_back(problem); });
  EXPECT_THAT(problems, testing::IsEmpty());
}

TEST(LmdbDamageTest, CopiesSayWhatIsDamaged) {
  const test::TemporaryFolder folder;
  const auto store = open_with_damaged_newest(folder / "s");
  const std::uint64_t versions = store->stat().versions;
  std::vector<std::string> problems;
  const OnProblem hear = [&](const std::string& problem) { problems.push_back(problem); };
  const auto both_are_named = testing::UnorderedElementsAre(testing::HasSubstr("/s#anna/n4@2: damaged"),
                                                            testing::HasSubstr("/s#anna/n12@1: damaged"));
  // Another store: what is whole, and the numbers of what is not.
  EXPECT_ERROR(copy_store(*store, *open_store(lmdb_url(folder / "none"), OpenStore::kCreate)), "damaged");
  const auto copy = open_store(lmdb_url(folder / "copy"), OpenStore::kCreate);
  EXPECT_EQ(copy_store(*store, *copy, hear).copied, versions - 2);
  EXPECT_THAT(problems, both_are_named);
  EXPECT_EQ(copy->get({"anna", "n4"}).header.version, 1U);
  const std::vector<std::byte> row = random_row(77);
  const Digest kind = copy->shared_digests(SharedKind::kKind).front();
  EXPECT_EQ(copy->put(new_row({"anna", "n4"}, row, kind)).version, 3U);
  EXPECT_EQ(copy->put(new_row({"anna", "n12"}, row, kind)).version, 2U);
  // A backup and a compaction: all of it.
  EXPECT_ERROR(store->backup(folder / "backup"), "damaged");
  EXPECT_FALSE(std::filesystem::exists(folder / "backup"));
  problems.clear();
  store->backup(folder / "backup", hear);
  EXPECT_THAT(problems, both_are_named);
  const auto backup = open_store(lmdb_url(folder / "backup"));
  EXPECT_EQ(backup->stat().versions, versions);
  EXPECT_ERROR(backup->get({"anna", "n4"}), "/backup#anna/n4@2: damaged");
  problems.clear();
  store->compact(hear);
  EXPECT_THAT(problems, both_are_named);
  EXPECT_EQ(store->stat().versions, versions);
  EXPECT_EQ(store->get({"anna", "n4"}, 1).row, random_row(1004, 64 + 20 * 4));
}

TEST(LmdbDamageTest, AFileThatTheStoreLacksIsNamed) {
  for (const char* lost : {"loraxs-store", "current", "1/data.mdb", "1"}) {
    const test::TemporaryFolder folder;
    fill(folder / "s");
    std::filesystem::remove_all(folder / "s" / lost);
    const std::string file = std::string(lost) == "1" ? "1/data.mdb" : lost;
    EXPECT_ERROR(open_store(lmdb_url(folder / "s")),
                 (folder / "s" / file).string() + ": damaged: the store lacks this file of its own");
  }
  for (const char* made_again : {"writer", "1/lock.mdb"}) {
    const test::TemporaryFolder folder;
    fill(folder / "s");
    std::filesystem::remove(folder / "s" / made_again);
    EXPECT_EQ(open_store(lmdb_url(folder / "s"))->get({"anna", "n4"}).header.version, 2U) << made_again;
  }
}

TEST(LmdbStoreTest, WhatIsNoStoreIsNamed) {
  const test::TemporaryFolder folder;
  write_bytes(folder / "t.csv", "a,b\n");
  EXPECT_ERROR(open_store(lmdb_url(folder / "t.csv"), OpenStore::kCreate), "found a file");
  EXPECT_ERROR(open_store(lmdb_url(folder / "none")), "found no such folder");
  EXPECT_ERROR(open_store(lmdb_url(folder / "no" / "parent"), OpenStore::kCreate), "No such file");
  std::filesystem::create_directory(folder / "other");
  EXPECT_ERROR(open_store(lmdb_url(folder / "other")), "expected a folder that loraxs store put made");
  write_bytes(folder / "other" / "data.mdb", "x");
  EXPECT_ERROR(open_store(lmdb_url(folder / "other"), OpenStore::kCreate), "of some other LMDB program");
  fill(folder / "s");
  write_bytes(folder / "s" / "loraxs-store", "loraxs-store-2\n");
  EXPECT_ERROR(open_store(lmdb_url(folder / "s")), "a newer loraxs wrote it");
}

TEST(LmdbStoreTest, AnotherFormatOfLmdbIsNamed) {
  const test::TemporaryFolder folder;
  fill(folder / "s");
  const std::filesystem::path data = folder / "s" / "1" / "data.mdb";
  std::string bytes = bytes_of(data);
  bytes[20] = bytes[4096 + 20] = 2;  // both heads say the format of LMDB 1.0
  write_bytes(data, bytes);
  EXPECT_ERROR(open_store(lmdb_url(folder / "s")), "expected the format of LMDB 0.9, found format 2");
}

TEST(LmdbStoreTest, AStoreThatAnotherHoldsIsNamed) {
  const test::TemporaryFolder folder;
  fill(folder / "s");
  int ready[2], done[2];
  ASSERT_EQ(pipe(ready), 0);
  ASSERT_EQ(pipe(done), 0);
  const pid_t child = fork();
  if (child == 0) {
    const WriteLock lock(folder / "s" / "writer", "a long write");
    [[maybe_unused]] ssize_t count = ::write(ready[1], "x", 1);
    char byte = 0;
    count = ::read(done[0], &byte, 1);
    _exit(0);
  }
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  EXPECT_ERROR(WriteLock(folder / "s" / "writer", "me", 0.2),
               "held by process " + std::to_string(child) + ", a long write");
  EXPECT_EQ(open_store(lmdb_url(folder / "s"))->stat().adapters, kNames);  // who reads does not wait
  ASSERT_EQ(::write(done[1], "x", 1), 1);
  waitpid(child, nullptr, 0);
  const WriteLock lock(folder / "s" / "writer", "me", 0.2);
}

TEST(LmdbStoreTest, CompactionGivesBytesBack) {
  const test::TemporaryFolder folder;
  const auto store = open_store(lmdb_url(folder / "s"), OpenStore::kCreate);
  const Digest kind = test::put_kind(*store);
  std::vector<std::vector<std::byte>> bytes;
  std::vector<NewRow> rows;
  for (std::uint64_t i = 0; i < 500; ++i) bytes.push_back(random_row(i, 768));
  for (std::uint64_t i = 0; i < 500; ++i) rows.push_back(new_row({"anna", "n" + std::to_string(i)}, bytes[i], kind));
  store->put(rows);
  for (std::uint64_t i = 50; i < 500; ++i) store->remove({"anna", "n" + std::to_string(i)});
  const std::uint64_t before = store->stat().file_bytes;
  store->compact();
  const StoreStat after = store->stat();
  EXPECT_LT(after.file_bytes, before / 4);
  EXPECT_LT(static_cast<double>(after.file_bytes), 1.5 * static_cast<double>(after.value_bytes) + 16 * 4096);
  EXPECT_EQ(store->get({"anna", "n49"}).row, bytes[49]);
  EXPECT_FALSE(std::filesystem::exists(folder / "s" / "1"));
}

TEST(LmdbStoreTest, OpensWithLittleAddressSpaceWhereAsked) {
  const test::TemporaryFolder folder;
  fill(folder / "s");
  const auto store = open_store(parse_store_url("lmdb://" + (folder / "s").string() + "?map_gb=1"));
  EXPECT_EQ(store->stat().adapters, kNames);
}

}  // namespace
}  // namespace loraxs
