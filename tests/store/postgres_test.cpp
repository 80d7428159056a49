// What a PostgreSQL store does about a server that stops, tables that are not there or newer, and damaged values.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "io/error.h"
#include "store/store.h"
#include "support/expect_error.h"
#include "support/postgres_server.h"
#include "support/store_rows.h"
#include "support/temporary_folder.h"

namespace loraxs {
namespace {

using test::PostgresServer;
using test::random_row;

class PostgresStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!PostgresServer::is_there()) GTEST_SKIP() << "no server of PostgreSQL is installed";
    url_ = PostgresServer::instance().new_database();
  }
  std::shared_ptr<Store> open(OpenStore how = OpenStore::kExisting) { return open_store(parse_store_url(url_), how); }
  static PutResult put(Store& store, const std::string& name, std::uint64_t seed) {
    const std::vector<std::byte> row = random_row(seed);
    return store.put(test::new_row({"anna", name}, row, test::put_kind(store)));
  }
  std::string url_;
};

TEST_F(PostgresStoreTest, OutlivesAnImmediateStop) {
  const auto store = open(OpenStore::kCreate);
  for (std::uint64_t i = 0; i < 50; ++i) put(*store, "n" + std::to_string(i), i);
  PostgresServer::instance().stop_immediately();
  EXPECT_ERROR(open(), "cannot connect to PostgreSQL");
  EXPECT_ERROR(store->get({"anna", "n0"}), "PostgreSQL");
  PostgresServer::instance().start();
  // The same object goes on, on a connection of its own.
  for (std::uint64_t i = 0; i < 50; ++i)
    EXPECT_EQ(store->get({"anna", "n" + std::to_string(i)}).row, random_row(i)) << i;
  std::vector<std::string> problems;
  EXPECT_EQ(store->verify([&](const std::string& problem) { problems.push_back(problem); }), 50U);
  EXPECT_THAT(problems, testing::IsEmpty());
}

TEST_F(PostgresStoreTest, TablesThatAreNotThereOrNewerAreNamed) {
  EXPECT_ERROR(open(), "expected a store, found a database without its tables");
  open(OpenStore::kCreate);
  open();
  PostgresServer::instance().run_sql(url_, "UPDATE loraxs_schema SET version = 3");
  EXPECT_ERROR(open(), "expected tables of version 2, found version 3; a newer loraxs made them");
}

TEST_F(PostgresStoreTest, TablesOfVersion1AreReadAndBroughtTo2ByAWrite) {
  for (std::uint64_t seed = 1; seed <= 2; ++seed) put(*open(OpenStore::kCreate), "a", seed);
  PostgresServer::instance().run_sql(url_, "DROP TABLE loraxs_numbers");
  PostgresServer::instance().run_sql(url_, "UPDATE loraxs_schema SET version = 1");
  const auto store = open();
  EXPECT_EQ(store->get({"anna", "a"}).row, random_row(2));
  EXPECT_EQ(store->last_numbers({}, 10).front().version, 2U);
  store->remove({"anna", "a"}, 2);
  EXPECT_EQ(put(*store, "a", 3).version, 3U);
  EXPECT_EQ(open()->get({"anna", "a"}).row, random_row(3));
}

TEST_F(PostgresStoreTest, ADamagedNewestVersionHidesNoOlderOne) {
  const auto store = open(OpenStore::kCreate);
  for (std::uint64_t seed = 1; seed <= 2; ++seed) put(*store, "a", seed);
  put(*store, "b", 7);
  PostgresServer::instance().run_sql(
      url_, "UPDATE loraxs_rows SET value = set_byte(value, 200, 255 - get_byte(value, 200)) WHERE version = 2");
  EXPECT_ERROR(store->get({"anna", "a"}), "#anna/a@2: damaged");
  EXPECT_ERROR(store->get({"anna", "a"}), "; loraxs store rollback " + url_ + "#anna/a@1 makes the version before it");
  EXPECT_EQ(store->get({"anna", "a"}, 1).row, random_row(1));
  EXPECT_ERROR(store->get({"anna", "a"}, 7), "expected a version from 1 to 1");
  const test::TemporaryFolder folder;
  std::vector<std::string> problems;
  const OnProblem hear = [&](const std::string& problem) { problems.push_back(problem); };
  EXPECT_ERROR(store->backup(folder / "backup"), "#anna/a@2: damaged");
  store->backup(folder / "backup", hear);
  EXPECT_THAT(problems, testing::ElementsAre(testing::HasSubstr("#anna/a@2: damaged")));
  const auto backup = open_store(parse_store_url("lmdb://" + (folder / "backup").string()));
  EXPECT_EQ(backup->stat().versions, 2U);
  EXPECT_EQ(put(*backup, "a", 9).version, 3U);
  EXPECT_EQ(store->rollback({"anna", "a"}, 1).version, 3U);
  EXPECT_EQ(store->get({"anna", "a"}).row, random_row(1));
  EXPECT_EQ(store->remove({"anna", "a"}, 2), 1U);
}

TEST_F(PostgresStoreTest, ProgramsThatMakeTheTablesTogetherMakeThemOnce) {
  std::vector<std::thread> programs;
  std::atomic<int> opened = 0;
  for (int i = 0; i < 4; ++i) {
    programs.emplace_back([&] {
      open(OpenStore::kCreate);
      ++opened;
    });
  }
  for (std::thread& each : programs) each.join();
  EXPECT_EQ(opened, 4);
  open();
}

TEST_F(PostgresStoreTest, WritersOfOneNameTakeTurns) {
  const auto store = open(OpenStore::kCreate);
  test::put_kind(*store);
  std::vector<std::thread> writers;
  constexpr std::uint64_t kWriters = 4, kPuts = 10;
  for (std::uint64_t writer = 0; writer < kWriters; ++writer) {
    writers.emplace_back([&, writer] {
      for (std::uint64_t i = 0; i < kPuts; ++i) put(*store, "one", 100 * writer + i);
    });
  }
  for (std::thread& each : writers) each.join();
  EXPECT_EQ(store->versions({"anna", "one"}).size(), kWriters * kPuts);
}

TEST_F(PostgresStoreTest, ADamagedValueIsNamed) {
  const auto store = open(OpenStore::kCreate);
  put(*store, "a", 1);
  put(*store, "b", 2);
  PostgresServer::instance().run_sql(
      url_, "UPDATE loraxs_rows SET value = set_byte(value, 200, 255 - get_byte(value, 200)) WHERE name = 'a'");
  EXPECT_ERROR(store->get({"anna", "a"}), "#anna/a@1: damaged: its checksum");
  EXPECT_ERROR(store->list({}), "#anna/a@1: damaged");
  std::vector<std::string> problems;
  const OnProblem hear = [&](const std::string& problem) { problems.push_back(problem); };
  const std::vector<RowInfo> listed = store->list({.limit = 1, .on_problem = hear});
  ASSERT_EQ(listed.size(), 1U);
  EXPECT_EQ(listed.front().name.name, "b");
  EXPECT_THAT(store->versions({"anna", "a"}, hear), testing::IsEmpty());
  EXPECT_THAT(problems, testing::Each(testing::HasSubstr("#anna/a@1: damaged")));
  EXPECT_EQ(problems.size(), 2U);
  PostgresServer::instance().run_sql(
      url_, "UPDATE loraxs_rows SET value = (SELECT value FROM loraxs_rows WHERE name = 'b') WHERE name = 'a'");
  EXPECT_ERROR(store->get({"anna", "a"}), "#anna/a@1: damaged: its checksum");  // whole, and another's
  EXPECT_TRUE(put(*store, "a", 1).added);
  EXPECT_EQ(store->get({"anna", "a"}).row, random_row(1));
}

}  // namespace
}  // namespace loraxs
