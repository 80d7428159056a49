// What holds for every store, whatever it stands on: the same tests for LMDB and PostgreSQL.
#include "store/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <thread>

#include "io/error.h"
#include "store/row_numbers.h"
#include "support/expect_error.h"
#include "support/postgres_server.h"
#include "support/store_rows.h"
#include "support/temporary_folder.h"

namespace loraxs {
namespace {

using test::new_row;
using test::put_kind;
using test::random_row;

class StoreTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (is_postgres() && !test::PostgresServer::is_there()) GTEST_SKIP() << "no server of PostgreSQL is installed";
    store_ = open_store(parse_store_url(url("one")), OpenStore::kCreate);
    kind_ = put_kind(*store_);
  }

  static bool is_postgres() { return std::string(GetParam()) == "postgresql"; }
  std::string url(const std::string& name) {
    return is_postgres() ? test::PostgresServer::instance().new_database() : "lmdb://" + (folder_ / name).string();
  }
  PutResult put(const AdapterName& name, std::uint64_t seed, std::uint64_t keep = 0, std::string tail = "{}") {
    const std::vector<std::byte> row = random_row(seed);
    return store_->put(new_row(name, row, kind_, std::move(tail)), keep);
  }
  std::vector<std::string> names(const ListQuery& query) {
    std::vector<std::string> found;
    for (const RowInfo& each : store_->list(query)) found.push_back(each.name.tenant + "/" + each.name.name);
    return found;
  }
  std::vector<std::uint64_t> versions(const AdapterName& name) {
    std::vector<std::uint64_t> found;
    for (const RowInfo& each : store_->versions(name)) found.push_back(each.header.version);
    return found;
  }

  test::TemporaryFolder folder_;
  std::shared_ptr<Store> store_;
  Digest kind_ = {};
};

TEST_P(StoreTest, GivesBackWhatWasPut) {
  const std::vector<std::byte> row = random_row(7);
  const PutResult result = store_->put(new_row({"anna", "support"}, row, kind_, R"({"labels":["a","b"]})"));
  EXPECT_EQ(result.version, 1U);
  EXPECT_TRUE(result.added);
  const StoredRow found = store_->get({"anna", "support"});
  EXPECT_EQ(found.row, row);
  EXPECT_EQ(found.tail, R"({"labels":["a","b"]})");
  EXPECT_EQ(found.header.kind, kind_);
  EXPECT_EQ(found.header.version, 1U);
  EXPECT_EQ(found.header.row_digest, digest_of_bytes(row));
  EXPECT_GT(found.header.created, 1'700'000'000'000'000);
  EXPECT_NE(store_->get({"anna", "support"}).row, random_row(8));
}

TEST_P(StoreTest, TheNewestAgainAddsNothing) {
  EXPECT_TRUE(put({"anna", "a"}, 1).added);
  EXPECT_FALSE(put({"anna", "a"}, 1).added);
  EXPECT_TRUE(put({"anna", "a"}, 1, 0, R"({"max_length":32})").added);
  EXPECT_TRUE(put({"anna", "a"}, 2).added);
  EXPECT_TRUE(put({"anna", "a"}, 1).added);
  EXPECT_EQ(versions({"anna", "a"}), (std::vector<std::uint64_t>{4, 3, 2, 1}));
  // A row of another kind is another adapter.
  const Digest other = put_kind(*store_, test::kind_of_test("b1"));
  const std::vector<std::byte> row = random_row(1);
  EXPECT_TRUE(store_->put(new_row({"anna", "a"}, row, other)).added);
}

TEST_P(StoreTest, VersionsStay) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) put({"anna", "a"}, seed);
  for (std::uint64_t version = 1; version <= 5; ++version) {
    EXPECT_EQ(store_->get({"anna", "a"}, version).row, random_row(version)) << version;
  }
  EXPECT_EQ(store_->get({"anna", "a"}).row, random_row(5));
  const PutResult back = store_->rollback({"anna", "a"}, 2);
  EXPECT_EQ(back.version, 6U);
  EXPECT_EQ(store_->get({"anna", "a"}).row, random_row(2));
  EXPECT_EQ(versions({"anna", "a"}).size(), 6U);
  EXPECT_ERROR(store_->get({"anna", "a"}, 9), "expected a version from 1 to 6");
  EXPECT_ERROR(store_->get({"anna", "a"}, 9), "#anna/a --versions shows them");
  EXPECT_ERROR(store_->rollback({"anna", "a"}, 9), "expected a version from 1 to 6");
}

TEST_P(StoreTest, KeepsAsManyAsAsked) {
  for (std::uint64_t seed = 1; seed <= 6; ++seed) put({"anna", "a"}, seed, /*keep=*/3);
  EXPECT_EQ(versions({"anna", "a"}), (std::vector<std::uint64_t>{6, 5, 4}));
  EXPECT_EQ(store_->get({"anna", "a"}, 4).row, random_row(4));
}

TEST_P(StoreTest, DeletesVersionsAndNames) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) put({"anna", "a"}, seed);
  put({"anna", "b"}, 9);
  EXPECT_EQ(store_->remove({"anna", "a"}, 2), 1U);
  EXPECT_EQ(versions({"anna", "a"}), (std::vector<std::uint64_t>{3, 1}));
  EXPECT_EQ(store_->remove({"anna", "a"}, 3), 1U);
  EXPECT_EQ(store_->get({"anna", "a"}).row, random_row(1));
  EXPECT_EQ(store_->remove({"anna", "a"}), 1U);
  EXPECT_EQ(names({}), std::vector<std::string>{"anna/b"});
  EXPECT_ERROR(store_->remove({"anna", "a"}), "found none of that name");
  EXPECT_EQ(store_->stat().versions, 1U);
}

TEST_P(StoreTest, ANumberIsNeverGivenAgain) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) put({"anna", "a"}, seed);
  put({"anna", "b"}, 9);
  store_->remove({"anna", "a"}, 3);
  EXPECT_EQ(put({"anna", "a"}, 4).version, 4U);
  store_->remove({"anna", "a"}, 4);
  EXPECT_EQ(store_->rollback({"anna", "a"}, 1).version, 5U);
  store_->remove({"anna", "a"});
  EXPECT_EQ(store_->stat().adapters, 1U);
  store_->compact();
  const auto copy = open_store(parse_store_url("lmdb://" + (folder_ / "copy").string()), OpenStore::kCreate);
  copy_store(*store_, *copy);
  store_->backup(folder_ / "backup");
  const auto backup = open_store(parse_store_url("lmdb://" + (folder_ / "backup").string()));
  const std::vector<std::byte> row = random_row(6);
  for (Store* each : {store_.get(), copy.get(), backup.get()}) {
    EXPECT_EQ(each->put(new_row({"anna", "a"}, row, kind_)).version, 6U) << each->url().text;
    EXPECT_EQ(each->put(new_row({"anna", "b"}, row, kind_)).version, 2U) << each->url().text;
    std::vector<std::string> problems;
    each->verify([&](const std::string& problem) { problems.push_back(problem); });
    EXPECT_THAT(problems, testing::IsEmpty());
  }
  // What was deleted and comes back by a copy is another version of the same row.
  copy->remove({"anna", "a"});
  const CopyReport report = copy_store(*store_, *copy);
  EXPECT_EQ(report.copied, 1U);
  EXPECT_EQ(report.renumbered, 1U);
  EXPECT_EQ(copy->get({"anna", "a"}, 7).row, row);
  EXPECT_EQ(copy_store(*store_, *copy).copied, 0U);
}

TEST_P(StoreTest, LastNumbersComeInPages) {
  for (const char* name : {"a", "b", "c", "d", "e"}) put({"anna", name}, 1);
  for (const char* name : {"b", "c", "e"}) store_->remove({"anna", name});
  put({"anna", "c"}, 2);
  std::vector<std::string> found;
  AdapterName after;
  for (std::vector<LastNumber> page; !(page = store_->last_numbers(after, 2)).empty(); after = page.back().name) {
    for (const LastNumber& each : page) found.push_back(each.name.name + "@" + std::to_string(each.version));
  }
  EXPECT_EQ(found, (std::vector<std::string>{"a@1", "b@1", "c@2", "d@1", "e@1"}));
}

TEST_P(StoreTest, WritersThatDeleteTakeNoNumberTwice) {
  constexpr std::uint64_t kWriters = 4, kPuts = 25;
  std::vector<std::vector<std::uint64_t>> given(kWriters);
  std::vector<std::thread> writers;
  for (std::uint64_t writer = 0; writer < kWriters; ++writer) {
    writers.emplace_back([&, writer] {
      for (std::uint64_t i = 0; i < kPuts; ++i) {
        given[writer].push_back(put({"anna", "one"}, 1000 * writer + i).version);
        store_->remove({"anna", "one"}, given[writer].back());
      }
    });
  }
  for (std::thread& each : writers) each.join();
  std::set<std::uint64_t> all;
  for (const std::vector<std::uint64_t>& each : given) all.insert(each.begin(), each.end());
  EXPECT_EQ(all.size(), kWriters * kPuts);
}

TEST_P(StoreTest, ListsByTenantPrefixAndPage) {
  for (const char* name : {"a.1", "a.2", "b", "a"}) put({"anna", name}, 1);
  put({"anna2", "a"}, 1);
  put({"bob", "a"}, 1);
  EXPECT_EQ(names({}), (std::vector<std::string>{"anna/a", "anna/a.1", "anna/a.2", "anna/b", "anna2/a", "bob/a"}));
  EXPECT_EQ(names({.tenant = "anna"}), (std::vector<std::string>{"anna/a", "anna/a.1", "anna/a.2", "anna/b"}));
  EXPECT_EQ(names({.tenant = "anna", .prefix = "a."}), (std::vector<std::string>{"anna/a.1", "anna/a.2"}));
  EXPECT_EQ(names({.tenant = "ann"}), std::vector<std::string>{});
  std::vector<std::string> paged;
  ListQuery query{.limit = 2};
  for (std::vector<RowInfo> page = store_->list(query); !page.empty(); page = store_->list(query)) {
    for (const RowInfo& each : page) paged.push_back(each.name.tenant + "/" + each.name.name);
    query.after = page.back().name;
  }
  EXPECT_EQ(paged, names({}));
}

TEST_P(StoreTest, ReadsManyFromOneMoment) {
  put({"anna", "a"}, 1);
  put({"anna", "b"}, 2);
  const std::vector<AdapterName> wanted = {{"anna", "b"}, {"anna", "c"}, {"anna", "a"}};
  std::vector<std::vector<std::byte>> rows(wanted.size());
  std::vector<bool> there(wanted.size());
  store_->read_many(wanted, [&](std::size_t i, const RowValue* value) {
    there[i] = value != nullptr;
    if (value != nullptr) rows[i].assign(value->row.begin(), value->row.end());
  });
  EXPECT_EQ(there, (std::vector<bool>{true, false, true}));
  EXPECT_EQ(rows[0], random_row(2));
  EXPECT_EQ(rows[2], random_row(1));
}

TEST_P(StoreTest, PutsABatchWithTheSameNameInOrder) {
  std::vector<std::vector<std::byte>> bytes;
  std::vector<NewRow> rows;
  for (std::uint64_t i = 0; i < 300; ++i) bytes.push_back(random_row(i));
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    rows.push_back(new_row({"t" + std::to_string(i % 7), "n" + std::to_string(i % 50)}, bytes[i], kind_));
  }
  const std::vector<PutResult> results = store_->put(rows);
  ASSERT_EQ(results.size(), rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(store_->get(rows[i].name, results[i].version).row, bytes[i]) << i;
  }
  EXPECT_EQ(store_->stat().versions, 300U);
}

TEST_P(StoreTest, KindsAndBasesAreKeptOnce) {
  put_kind(*store_);
  const std::string blob(100'000, 'x');
  const Digest digest = digest_of_bytes(std::as_bytes(std::span(blob)));
  store_->put_shared(SharedKind::kBasis, digest, blob);
  store_->put_shared(SharedKind::kBasis, digest, blob);
  EXPECT_EQ(store_->shared(SharedKind::kBasis, digest), blob);
  EXPECT_EQ(store_->shared(SharedKind::kKind, kind_), test::kind_of_test());
  EXPECT_EQ(store_->shared(SharedKind::kKind, digest), std::nullopt);
  EXPECT_EQ(store_->shared_digests(SharedKind::kKind), std::vector<Digest>{kind_});
  const StoreStat stat = store_->stat();
  EXPECT_EQ(stat.kinds, 1U);
  EXPECT_EQ(stat.bases, 1U);
  EXPECT_ERROR(store_->put_shared(SharedKind::kBasis, kind_, blob), "another SHA-256");
}

TEST_P(StoreTest, CountsAndVerifies) {
  for (std::uint64_t i = 0; i < 20; ++i) put({"t" + std::to_string(i % 3), "n" + std::to_string(i % 10)}, i);
  const StoreStat stat = store_->stat();
  EXPECT_EQ(stat.tenants, 3U);
  EXPECT_EQ(stat.versions, 20U);
  EXPECT_EQ(stat.adapters, 20U);
  EXPECT_EQ(stat.value_bytes, 20 * (kRowHeaderBytes + 64 * 4 + 2));
  EXPECT_GT(stat.file_bytes, stat.value_bytes);
  std::vector<std::string> problems;
  EXPECT_EQ(store_->verify([&](const std::string& problem) { problems.push_back(problem); }), 20U);
  EXPECT_THAT(problems, testing::IsEmpty());
}

TEST_P(StoreTest, CopiesToAnotherStoreWithHistory) {
  for (std::uint64_t i = 0; i < 20; ++i) put({"anna", "n" + std::to_string(i % 4)}, i);
  store_->remove({"anna", "n1"}, 2);
  const auto copy = open_store(parse_store_url("lmdb://" + (folder_ / "copy").string()), OpenStore::kCreate);
  EXPECT_EQ(copy_store(*store_, *copy).copied, 19U);
  EXPECT_EQ(copy_store(*store_, *copy).copied, 0U);
  EXPECT_EQ(copy->shared(SharedKind::kKind, kind_), test::kind_of_test());
  for (const RowInfo& newest : store_->list({})) {
    const std::vector<RowInfo> mine = store_->versions(newest.name), theirs = copy->versions(newest.name);
    ASSERT_EQ(mine.size(), theirs.size());
    for (std::size_t i = 0; i < mine.size(); ++i) {
      const StoredRow x = store_->get(newest.name, mine[i].header.version),
                      y = copy->get(newest.name, theirs[i].header.version);
      EXPECT_EQ(x.row, y.row);
      EXPECT_EQ(x.header.created, y.header.created);
    }
  }
}

TEST_P(StoreTest, BackupIsAStoreAndCompactKeepsAll) {
  for (std::uint64_t i = 0; i < 200; ++i) put({"anna", "n" + std::to_string(i % 40)}, i, /*keep=*/1);
  store_->backup(folder_ / "backup");
  const auto backup = open_store(parse_store_url("lmdb://" + (folder_ / "backup").string()));
  store_->compact();
  EXPECT_EQ(backup->stat().versions, 40U);
  for (std::uint64_t i = 160; i < 200; ++i) {
    EXPECT_EQ(store_->get({"anna", "n" + std::to_string(i % 40)}).row, random_row(i));
    EXPECT_EQ(backup->get({"anna", "n" + std::to_string(i % 40)}).row, random_row(i));
  }
  put({"anna", "later"}, 1);
  EXPECT_EQ(store_->get({"anna", "later"}).row, random_row(1));
  EXPECT_ERROR(store_->backup(folder_ / "backup"), "expected nothing there");
}

TEST_P(StoreTest, RefusesWithASentence) {
  put({"anna", "support"}, 1);
  put({"bob", "secret"}, 1);
  EXPECT_ERROR(store_->get({"anna", "suport"}), "did you mean support?");
  try {
    store_->get({"anna", "secre"});
    ADD_FAILURE();
  } catch (const Error& error) {  // names of other tenants are none of anna's business
    EXPECT_EQ(std::string(error.what()).find("secret"), std::string::npos) << error.what();
  }
  EXPECT_ERROR(store_->get({"carl", "support"}), "found no adapter of carl");
  EXPECT_ERROR(store_->get({"anna", "../x"}), "letters, digits");
  const std::vector<std::byte> row = random_row(1);
  for (const char* name : {"a/b", "..", "", " a", "a b", "-a", "a\n", "ä"}) {
    EXPECT_ERROR(store_->put(new_row({"anna", name}, row, kind_)), "name: expected 1 to 128 letters, digits");
    EXPECT_ERROR(store_->put(new_row({name, "a"}, row, kind_)), "tenant: expected 1 to 64 letters, digits");
  }
  EXPECT_ERROR(store_->put(new_row({"anna", std::string(10'240, 'a')}, row, kind_)), "of 10240 bytes");
  EXPECT_ERROR(store_->put(new_row({"anna", std::string("a\0b", 3)}, row, kind_)), "letters, digits");
  std::vector<std::byte> nan = row;
  std::memset(nan.data() + 8, 0xff, 4);
  EXPECT_ERROR(store_->put(new_row({"anna", "a"}, nan, kind_)), "expected finite numbers, found NaN or infinity at 2");
  EXPECT_ERROR(store_->put(new_row({"anna", "a"}, row, kind_, std::string(5'000, ' '))), "at most 4096 bytes");
  EXPECT_ERROR(store_->put({.name = {"anna", "a"}, .header = {.numbers = 3, .kind = kind_}, .row = row}),
               "row: expected 3 numbers of float32");
  EXPECT_EQ(store_->stat().versions, 2U);
}

TEST_P(StoreTest, ThreadsReadWhileOneWrites) {
  constexpr std::uint64_t kNames = 20, kRounds = 30;
  for (std::uint64_t i = 0; i < kNames; ++i) put({"anna", "n" + std::to_string(i)}, i);
  std::atomic<bool> done = false;
  std::atomic<std::uint64_t> reads = 0, wrong = 0;
  std::vector<std::thread> readers;
  for (std::uint64_t reader = 0; reader < 4; ++reader) {
    readers.emplace_back([&, reader] {
      std::mt19937_64 generator(reader);
      while (!done) {
        const std::uint64_t i = generator() % kNames;
        const StoredRow row = store_->get({"anna", "n" + std::to_string(i)});
        // Version v of name i is the row of seed i + 1000 (v - 1).
        if (row.row != random_row(i + 1000 * (row.header.version - 1))) ++wrong;
        ++reads;
      }
    });
  }
  for (std::uint64_t round = 1; round <= kRounds; ++round) {
    for (std::uint64_t i = 0; i < kNames; i += 5) put({"anna", "n" + std::to_string(i)}, i + 1000 * round);
  }
  done = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(wrong, 0U);
  EXPECT_GT(reads, 100U);
}

INSTANTIATE_TEST_SUITE_P(On, StoreTest, testing::Values("lmdb", "postgresql"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace loraxs
