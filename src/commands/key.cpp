#include "cli/subcommands/key.h"

#include <ctime>
#include <iostream>

#include "commands/result_line.h"
#include "io/error.h"
#include "serve/keys.h"

namespace loraxs {
namespace {

nlohmann::ordered_json key_json(const KeyEntry& key) {
  nlohmann::ordered_json rights = nlohmann::ordered_json::array();
  for (const Right right : key.rights) rights.push_back(right_name(right));
  const auto time_or_null = [](int64_t seconds) {
    return seconds == 0 ? nlohmann::ordered_json() : nlohmann::ordered_json(utc_text(seconds));
  };
  return {{"id", key.id},
          {"tenant", key.tenant},
          {"rights", rights},
          {"requests_per_minute", key.quotas.requests_per_minute},
          {"tokens_per_minute", key.quotas.tokens_per_minute},
          {"bytes_per_minute", key.quotas.bytes_per_minute},
          {"streams", key.quotas.streams},
          {"adapters", key.quotas.adapters},
          {"priority", key.priority},
          {"created", time_or_null(key.created)},
          {"revoked", time_or_null(key.revoked)}};
}

std::string rights_text(const KeyEntry& key) {
  std::string text;
  for (const Right right : key.rights) text += concat(text.empty() ? "" : ", ", right_name(right));
  return text;
}

int run_create(const KeyOptions& options, const CommonOptions& common) {
  if (options.tenant.empty()) throw Error("key create: expected --tenant, whose adapters the key opens; found none");
  KeyEntry entry{.tenant = options.tenant,
                 .quotas = {.requests_per_minute = options.requests_per_minute,
                            .tokens_per_minute = options.tokens_per_minute,
                            .bytes_per_minute = options.bytes_per_minute,
                            .streams = options.streams,
                            .adapters = options.adapters},
                 .priority = options.priority,
                 .created = std::time(nullptr)};
  entry.rights.reserve(options.rights.size() + 1);
  for (const std::string& name : options.rights) entry.rights.push_back(right_of(name, "--rights"));
  if (entry.rights.empty()) entry.rights.push_back(Right::kInfer);
  const NewKey made = create_key(options.file, std::move(entry));
  nlohmann::ordered_json json = key_json(made.entry);
  json["key"] = made.key;
  print_result(common, json, made.key);
  if (!common.json && !common.quiet) {
    std::cerr << printable(concat(made.entry.id, ": a key of ", made.entry.tenant,
                                  "; it is shown this once, and is not in ", options.file))
              << '\n';
  }
  return 0;
}

int list_keys(const KeyOptions& options, const CommonOptions& common) {
  const std::vector<KeyEntry> keys = read_keys(options.file);
  if (!common.json) std::cout << "| id | tenant | rights | created | revoked |\n|---|---|---|---|---|\n";
  for (const KeyEntry& key : keys) {
    print_result(common, key_json(key),
                 concat("| ", key.id, " | ", key.tenant, " | ", rights_text(key), " | ", utc_text(key.created), " | ",
                        key.revoked == 0 ? "" : utc_text(key.revoked), " |"));
  }
  return 0;
}

int run_revoke(const KeyOptions& options, const CommonOptions& common) {
  if (options.id.empty()) throw Error("key revoke: expected FILE and the ID of a key in it, found no ID");
  const KeyEntry key = revoke_key(options.file, options.id, std::time(nullptr));
  print_result(common, key_json(key), concat(key.id, ": revoked, a key of ", key.tenant));
  return 0;
}

struct KeyAction {
  const char* name;
  int (*run)(const KeyOptions&, const CommonOptions&);
};
constexpr KeyAction kKeyActions[] = {{"create", run_create}, {"list", list_keys}, {"revoke", run_revoke}};

}  // namespace

int run(const KeyOptions& options, const CommonOptions& common) {
  const auto expect_action = [&](bool given, const char* option, const char* action) {
    if (!given || options.action == action) return;
    throw Error(concat(option, ": expected an action that has it, found key ", options.action));
  };
  expect_action(!options.id.empty(), "ID", "revoke");
  expect_action(!options.tenant.empty(), "--tenant", "create");
  expect_action(!options.rights.empty(), "--rights", "create");
  expect_action(options.requests_per_minute != 0, "--requests-per-minute", "create");
  expect_action(options.tokens_per_minute != 0, "--tokens-per-minute", "create");
  expect_action(options.bytes_per_minute != 0, "--bytes-per-minute", "create");
  expect_action(options.streams != 0, "--streams", "create");
  expect_action(options.adapters != 0, "--adapters", "create");
  expect_action(options.priority != 0, "--priority", "create");
  for (const KeyAction& action : kKeyActions) {
    if (options.action == action.name) return action.run(options, common);
  }
  throw Error(concat("key: expected an action, found ", options.action));
}

}  // namespace loraxs
