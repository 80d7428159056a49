// The keys file and the gate over it: no key is in the file, what is revoked is refused, quotas are a tenant's.
#include "serve/keys.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <set>
#include <thread>

#include "io/input_file.h"
#include "io/sha256.h"
#include "serve/key_gate.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace loraxs {
namespace {

KeyEntry entry_for(const std::string& tenant, KeyQuotas quotas = {}, std::vector<Right> rights = {Right::kInfer}) {
  return {.tenant = tenant, .rights = std::move(rights), .quotas = quotas, .priority = 3, .created = 1'000};
}

mode_t mode_of(const std::filesystem::path& path) {
  struct stat status {};
  EXPECT_EQ(::stat(path.c_str(), &status), 0);
  return status.st_mode & 07777;
}

TEST(KeysTest, TheFileHoldsNoKey) {
  const test::TemporaryFolder folder;
  const auto path = folder / "keys.json";
  const KeyQuotas quotas{1, 2, 3, 4, 5};
  const NewKey anna = create_key(path, entry_for("anna", quotas, {Right::kInfer, Right::kManage}));
  const NewKey ben = create_key(path, entry_for("ben"));
  EXPECT_TRUE(is_key(anna.key));
  EXPECT_EQ(anna.key.size(), 47U);
  EXPECT_NE(anna.key, ben.key);
  EXPECT_NE(anna.entry.id, ben.entry.id);
  EXPECT_EQ(anna.entry.sha256, sha256_hex(anna.key));
  EXPECT_EQ(mode_of(path), 0600U);
  const std::string text = read_file(path);
  EXPECT_EQ(text.find(anna.key), std::string::npos);
  EXPECT_EQ(text.find(anna.key.substr(4)), std::string::npos);
  const std::vector<KeyEntry> read = read_keys(path);
  EXPECT_EQ(read, (std::vector<KeyEntry>{anna.entry, ben.entry}));
  EXPECT_EQ(read[0].quotas, quotas);
  EXPECT_EQ(revoke_key(path, anna.entry.id, 2'000).revoked, 2'000);
  EXPECT_EQ(read_keys(path)[0].revoked, 2'000);
  EXPECT_EQ(read_keys(path)[1].revoked, 0);
  EXPECT_EQ(mode_of(path), 0600U);
  EXPECT_ERROR(revoke_key(path, anna.entry.id, 3'000), "found it revoked");
  EXPECT_ERROR(revoke_key(path, "key-0", 3'000), "expected the id of a key in it, found key-0");
  EXPECT_ERROR(create_key(path, entry_for("a/b")), "tenant");
  EXPECT_EQ(read_keys(path).size(), 2U);
}

TEST(KeysTest, KeysAreRandom) {
  const test::TemporaryFolder folder;
  std::set<char> characters;
  for (int i = 0; i < 20; ++i) {
    for (const char c : create_key(folder / "k", entry_for("t")).key.substr(4)) characters.insert(c);
  }
  EXPECT_GT(characters.size(), 55U);  // of 64, in 860 draws
}

TEST(KeysTest, WritersTakeTurns) {
  const test::TemporaryFolder folder;
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int k = 0; k < 5; ++k) create_key(folder / "k", entry_for("t"));
    });
  }
  for (std::thread& each : threads) each.join();
  EXPECT_EQ(read_keys(folder / "k").size(), 20U);
}

TEST(KeysTest, FilesThatAreWrongAreRefused) {
  const std::string digest(64, 'a');
  const auto one = [&](const std::string& fields) { return R"({"version": 1, "keys": [{)" + fields + "}]}"; };
  const std::string good = R"("id": "k", "tenant": "t", "sha256": ")" + digest + "\"";
  EXPECT_EQ(parse_keys(one(good), "k.json").size(), 1U);
  const std::pair<std::string, const char*> cases[] = {
      {"", "expected JSON"},
      {"{}", "version: expected 1"},
      {R"({"version": 2, "keys": []})", "expected 1, found 2"},
      {R"({"version": 1})", "keys: expected a list"},
      {R"({"version": 1, "keys": [1]})", "keys[0]: expected an object"},
      {R"({"version": 1, "keys": [], "more": 1})", "more"},
      {one(""), "keys[0].id"},
      {one(R"("id": "K", "tenant": "t", "sha256": ")" + digest + "\""), "id: expected 1 to 64 of a-z"},
      {one(R"("id": "k", "tenant": "t", "sha256": "abc")"), "expected 64 hexadecimal digits"},
      {one(R"("id": "k", "tenant": "", "sha256": ")" + digest + "\""), "tenant"},
      {one(good + R"(, "rights": ["cook"])"), "expected infer, manage or operate, found cook"},
      {one(good + R"(, "rights": ["infer", "infer"])"), "found it twice"},
      {one(good + R"(, "rights": [])"), "rights"},
      {one(good + R"(, "quotas": {"streams": -1})"), "quotas.streams"},
      {one(good + R"(, "quotas": {"stream": 1})"), "stream"},
      {one(good + R"(, "priority": 5000)"), "priority"},
      {one(good + R"(, "id": "k")"), "id"},
      {one(good + "}, {" + good), "keys[1]: expected k once"},
  };
  for (const auto& [text, part] : cases) EXPECT_ERROR(parse_keys(text, "k.json"), part);
}

TEST(KeysTest, FilesThatOthersReadAreRefused) {
  const test::TemporaryFolder folder;
  create_key(folder / "k", entry_for("t"));
  std::filesystem::permissions(folder / "k", std::filesystem::perms(0640));
  EXPECT_ERROR(read_keys(folder / "k"), "expected mode 600, found 640");
  EXPECT_ERROR(read_keys(folder / "missing"), "missing: expected a file of keys, found none; loraxs key create ");
  EXPECT_ERROR(KeyGate(folder / "missing"), "--tenant NAME makes it");
}

class GateTest : public testing::Test {
 protected:
  std::unique_ptr<KeyGate> gate() {
    return std::make_unique<KeyGate>(
        path_, KeyGateOptions{.now = [this] { return now_; },
                              .log = [this](LogLevel, const std::string& line) { log_ += line; }});
  }
  static HttpRequest with(const std::string& authorization) {
    HttpRequest request;
    request.headers["authorization"] = authorization;
    return request;
  }
  template <typename Call>
  static ApiError refusal(Call call) {
    try {
      call();
    } catch (const ApiError& error) {
      return error;
    }
    ADD_FAILURE() << "it was not refused";
    return {0, ""};
  }
  test::TemporaryFolder folder_;
  std::filesystem::path path_ = folder_ / "keys.json";
  double now_ = 1'000;
  std::string log_;
};

TEST_F(GateTest, KeysOpenWhatTheyHaveTheRightTo) {
  const NewKey anna = create_key(path_, entry_for("anna"));
  const NewKey root = create_key(path_, entry_for("root", {}, {Right::kInfer, Right::kManage, Right::kOperate}));
  const auto gate = this->gate();
  const Caller caller = gate->check(with("Bearer " + anna.key), Right::kInfer);
  EXPECT_EQ(caller.tenant, "anna");
  EXPECT_FALSE(caller.sees_all);
  EXPECT_EQ(caller.priority, 3);
  EXPECT_EQ(gate->check(with("bearer  " + anna.key), Right::kInfer).tenant, "anna");
  EXPECT_TRUE(gate->check(with("Bearer " + root.key), Right::kOperate).sees_all);
  ApiError error = refusal([&] { gate->check(with("Bearer " + anna.key), Right::kManage); });
  EXPECT_EQ(error.status(), 403);
  EXPECT_EQ(refusal([&] { gate->check({}, Right::kInfer); }).status(), 401);
  std::string other = anna.key;
  other.back() = other.back() == 'A' ? 'B' : 'A';
  for (const std::string& value :
       {std::string(), std::string("Bearer"), std::string("Bearer "), "Basic " + anna.key, anna.key, "Bearer " + other,
        "Bearer " + anna.key + "x", "Bearer " + anna.entry.sha256, "Bearer " + anna.entry.id}) {
    error = refusal([&] { gate->check(with(value), Right::kInfer); });
    EXPECT_EQ(error.status(), 401) << value;
    EXPECT_EQ(error.code(), "invalid_api_key");
    EXPECT_EQ(std::string(error.what()).find("lxs_A"), std::string::npos);
  }
}

TEST_F(GateTest, ChangesOfTheFileCountWithinASecond) {
  const NewKey anna = create_key(path_, entry_for("anna"));
  const auto gate = this->gate();
  const auto ask = [&](const NewKey& key) { return gate->check(with("Bearer " + key.key), Right::kInfer).tenant; };
  EXPECT_EQ(ask(anna), "anna");
  const NewKey ben = create_key(path_, entry_for("ben"));
  revoke_key(path_, anna.entry.id, 5);
  EXPECT_EQ(ask(anna), "anna");  // the control: it is not read at every request
  now_ += 0.9;
  EXPECT_EQ(refusal([&] { ask(anna); }).status(), 401);
  EXPECT_EQ(ask(ben), "ben");
  std::ofstream(path_) << "{";
  now_ += 1;
  EXPECT_EQ(ask(ben), "ben");
  EXPECT_NE(log_.find("the keys stay as they were"), std::string::npos);
}

TEST_F(GateTest, QuotasAreATenants) {
  const NewKey anna = create_key(path_, entry_for("anna", {.requests_per_minute = 2}));
  create_key(path_, entry_for("anna", {.requests_per_minute = 3}));
  create_key(path_, entry_for("ben", {.tokens_per_minute = 600, .bytes_per_minute = 100}));
  create_key(path_, entry_for("carl", {.streams = 2, .adapters = 9}));
  const auto gate = this->gate();
  EXPECT_EQ(gate->quotas("anna").requests_per_minute, 3);
  EXPECT_EQ(gate->quotas("carl").adapters, 9);
  const Caller a{.tenant = "anna"}, b{.tenant = "ben"}, c{.tenant = "carl"};
  for (int i = 0; i < 3; ++i) gate->admit(a, {1'000'000, 1'000'000});
  ApiError error = refusal([&] { gate->admit(a, {1, 1}); });
  EXPECT_EQ(error.status(), 429);
  EXPECT_EQ(error.retry_after, 20);  // a third of a minute
  EXPECT_EQ(error.code(), "requests_per_minute");
  now_ += 19.9;
  refusal([&] { gate->admit(a, {1, 1}); });
  now_ += 0.2;
  gate->admit(a, {1, 1});
  refusal([&] { gate->admit(a, {1, 1}); });

  // Tokens: what is not used comes back; bytes do not.
  gate->admit(b, {500, 60})->used(200);
  EXPECT_EQ(refusal([&] { gate->admit(b, {401, 1}); }).retry_after, 1);
  EXPECT_EQ(refusal([&] { gate->admit(b, {1, 41}); }).code(), "bytes_per_minute");
  EXPECT_EQ(refusal([&] { gate->admit(b, {601, 1}); }).retry_after, 0) << "it never fits";
  gate->admit(b, {400, 40});
  EXPECT_EQ(refusal([&] { gate->admit(b, {1, 0}); }).code(), "tokens_per_minute");
  now_ += 1'000;
  gate->admit(b, {600, 100});
  refusal([&] { gate->admit(b, {1, 0}); });  // a minute at most is saved up

  auto first = gate->admit(c, {0, 0}), second = gate->admit(c, {0, 0});
  EXPECT_EQ(refusal([&] { gate->admit(c, {0, 0}); }).code(), "too_many_streams");
  first.reset();
  first = gate->admit(c, {0, 0});
  now_ += 10;
  revoke_key(path_, anna.entry.id, 5);
  EXPECT_EQ(gate->quotas("anna").requests_per_minute, 3);
  refusal([&] { gate->admit(c, {0, 0}); });  // a file that is read again forgets nobody's streams
}

TEST_F(GateTest, AdaptersInUseAreCountedOnce) {
  const NewKey anna = create_key(path_, entry_for("anna", {.adapters = 2}));
  const auto gate = this->gate();
  EXPECT_EQ(gate->check(with("Bearer " + anna.key), Right::kInfer).adapters, 2);
  const Caller a{.tenant = "anna"}, other{.tenant = "ben"};
  const auto using_these = [](std::set<std::string> adapters) { return Demand{.adapters = std::move(adapters)}; };
  auto one = gate->admit(a, using_these({"x", "y"})), two = gate->admit(a, using_these({"x"}));
  gate->admit(a, using_these({}));  // the base
  ApiError error = refusal([&] { gate->admit(a, using_these({"z"})); });
  EXPECT_EQ(error.status(), 429);
  EXPECT_EQ(error.code(), "too_many_adapters");
  EXPECT_EQ(error.retry_after, 1);
  EXPECT_EQ(refusal([&] { gate->admit(a, using_these({"1", "2", "3"})); }).retry_after, 0) << "it never fits";
  gate->admit(other, using_these({"z"}));
  one.reset();
  const auto three = gate->admit(a, using_these({"z"}));  // y is free, x still in use
  EXPECT_EQ(refusal([&] { gate->admit(a, using_these({"y"})); }).code(), "too_many_adapters");
  two.reset();
  gate->admit(a, using_these({"y"}));
}

TEST(OpenGateTest, EverybodyMayDoEverything) {
  OpenGate gate;
  const Caller caller = gate.check({}, Right::kOperate);
  EXPECT_TRUE(caller.sees_all);
  EXPECT_EQ(caller.tenant, "");
  gate.admit(caller, {1, 1})->used(5);
}

}  // namespace
}  // namespace loraxs
