#include "cli/subcommands/store.h"

#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "api/adapter_tools.h"
#include "api/store.h"
#include "commands/result_line.h"
#include "commands/session.h"
#include "io/atomic_file.h"
#include "io/error.h"
#include "io/json.h"
#include "store/row_numbers.h"
#include "store/store.h"

namespace loraxs {
namespace {

using Json = nlohmann::ordered_json;
constexpr int64_t kMicroseconds = 1'000'000;  // of a second, as rows count

void expect_words(const StoreOptions& options, size_t least, size_t most, const char* usage) {
  if (options.words.size() >= least && options.words.size() <= most) return;
  throw Error(concat("store ", options.action, ": expected ", usage, ", found ", options.words.size(), " words"));
}

/// What was asked for must be what this action has.
void expect_no(bool given, const char* option, const StoreOptions& options) {
  if (given) throw Error(concat(option, ": expected an action that has it, found store ", options.action));
}

/// Of an action on all that a store holds.
StoreUrl url_of_all(const std::string& word, const StoreOptions& options) {
  if (word.find('#') == std::string::npos) return parse_store_url(word);
  throw Error(concat(word, ": store ", options.action,
                     ": expected the store's URL alone, as all of it is meant, found ", word.substr(word.find('#'))));
}

/// Says problems as they come and counts them.
OnProblem said_and_counted(uint64_t& problems) {
  return [&problems](const std::string& problem) {
    ++problems;
    std::cerr << "loraxs: " << safe_message(problem) << '\n';
  };
}

/// The names of the files' adapters. Throws Error where two would be one.
std::vector<AdapterName> names_of(const std::vector<std::string>& files, const StoreReference& target) {
  std::vector<AdapterName> names;
  names.reserve(files.size());
  std::map<std::string, std::string> files_of;
  for (const std::string& file : files) {
    names.push_back({.tenant = target.tenant, .name = target.name.empty() ? adapter_stem(file) : target.name});
    const std::string& name = names.back().name;
    check_adapter_name(names.back(), file);
    const auto [before, is_new] = files_of.emplace(name, file);
    if (is_new) continue;
    throw Error(concat(file, ": expected a stem that no other file has, as it becomes the name, found ", name, " of ",
                       before->second, " too; URL#tenant/name names one file"));
  }
  return names;
}

// With a model: what rounding the row costs, said before anything is put.
OutputCheck check_rounding(const BaseModel& model, const std::string& file, PutOptions& put, const Settings& settings) {
  const OpenedAdapter opened = open_adapter_on_model(model, file, {}, settings);
  put.segments = row_segments(*opened.bank->layout);
  return check_row(opened, rounded_row(opened.file, put));
}

int run_put(const StoreOptions& options, const CommonOptions& common) {
  expect_words(options, 2, SIZE_MAX, "URL#tenant/name FILE, or URL#tenant/ FILE…");
  const StoreReference target = parse_store_reference(options.words.front());
  const std::vector<std::string> files(options.words.begin() + 1, options.words.end());
  target.refuse_version();
  if (target.tenant.empty() || target.many || (!target.name.empty() && files.size() > 1)) {
    throw Error(concat(options.words.front(),
                       ": expected URL#tenant/name for one file, URL#tenant/ for several, found ", files.size(),
                       files.size() == 1 ? " file" : " files"));
  }
  PutOptions put{.dtype = row_dtype_of(options.dtype, "--dtype"), .keep = static_cast<uint64_t>(options.keep)};
  if (put.dtype == RowDtype::kInt8 && options.model.empty()) {
    throw Error("--dtype int8: expected --model, which says what tensors a row has, as each gets a scale; found none");
  }
  std::vector<AdapterFile> adapters;
  const std::vector<AdapterName> names = names_of(files, target);
  adapters.reserve(files.size());
  for (const std::string& file : files) adapters.push_back(load_adapter(file));
  const Settings settings = settings_of(common);
  std::optional<BaseModel> model;
  if (!options.model.empty()) model.emplace(open_model(options.model, settings));
  std::optional<std::shared_ptr<Store>> store;
  for (size_t i = 0; i < files.size();) {
    std::vector<NamedAdapter> batch;
    std::vector<Json> checks;
    // Rows with segments of their own go one by one; others together.
    const size_t end = model ? i + 1 : files.size();
    batch.reserve(end - i);
    checks.reserve(end - i);
    for (size_t k = i; k < end; ++k) {
      Json check;
      if (model && put.dtype != RowDtype::kFloat32) {
        const OutputCheck found = check_rounding(*model, files[k], put, settings);
        check = {{"logits_change", found.difference}, {"adapter_effect", found.effect}};
      }
      batch.push_back({.name = names[k], .adapter = &adapters[k]});
      checks.push_back(std::move(check));
    }
    if (!store) store = open_store(target.url, OpenStore::kCreate);  // nothing is made for files that do not open
    const std::vector<PutResult> results = put_adapters(**store, batch, put);
    for (size_t k = 0; k < results.size(); ++k) {
      const std::string name = shown_reference(target.url, batch[k].name, results[k].version);
      Json line = {
          {"adapter", name}, {"version", results[k].version}, {"added", results[k].added}, {"dtype", options.dtype}};
      std::string text = concat(name, ": ", results[k].added ? "put as " + options.dtype : "is the newest already");
      if (!checks[k].is_null()) {
        line.update(checks[k]);
        text += concat("; on random tokens logits differ by at most ", checks[k]["logits_change"].get<double>(),
                       " of the largest (the adapter itself changes them by ",
                       checks[k]["adapter_effect"].get<double>(), ")");
      }
      print_result(common, line, text);
    }
    i = end;
  }
  return 0;
}

int run_get(const StoreOptions& options, const CommonOptions& common) {
  expect_words(options, 1, 1, "URL#tenant/name[@version] and --out FILE");
  if (options.out.empty()) throw Error("store get: expected --out FILE, found none");
  const StoreReference wanted = parse_store_reference(options.words.front());
  const uint64_t version = get_adapter_file(options.words.front(), options.out);
  const std::string name = shown_reference(wanted.url, wanted.adapter(), version);
  print_result(common, {{"adapter", name}, {"version", version}, {"out", options.out}},
               concat(options.out, ": written from ", name));
  return 0;
}

void print_row(const CommonOptions& common, const StoreUrl& url, const RowInfo& row) {
  const nlohmann::json tail = json_or_null(row.tail);
  const std::string task = tail.is_object() && tail.contains("task") && tail["task"].is_string()
                               ? tail["task"].get<std::string>()
                               : std::string();
  const Json json = {{"adapter", shown_reference(url, row.name)},
                     {"tenant", row.name.tenant},
                     {"name", row.name.name},
                     {"version", row.header.version},
                     {"created", utc_text(row.header.created / kMicroseconds)},
                     {"dtype", row_dtype_name(row.header.dtype)},
                     {"numbers", row.header.numbers},
                     {"row_bytes", row.row_bytes},
                     {"row_digest", digest_hex(row.header.row_digest)},
                     {"kind", digest_hex(row.header.kind)},
                     {"entry", tail}};
  print_result(common, json,
               concat("| ", row.name.tenant, "/", row.name.name, " | ", row.header.version, " | ",
                      row_dtype_name(row.header.dtype), " | ", human_bytes(static_cast<int64_t>(row.row_bytes)), " | ",
                      utc_text(row.header.created / kMicroseconds), " | ", task, " |"));
}

int run_list(const StoreOptions& options, const CommonOptions& common) {
  expect_words(options, 1, 1, "URL, URL#tenant/begin or URL#tenant/name with --versions");
  const StoreReference wanted = parse_store_reference(options.words.front());
  if (wanted.version > 0) {
    throw Error(concat(options.words.front(), ": version: expected none, as --versions lists all of a name, found @",
                       wanted.version));
  }
  const auto store = open_store(wanted.url);
  uint64_t problems = 0;
  const OnProblem on_problem = said_and_counted(problems);
  if (!common.json) std::cout << "| adapter | version | dtype | row | created | task |\n|---|---|---|---|---|---|\n";
  if (options.versions) {
    const AdapterName name = wanted.adapter();
    const std::vector<RowInfo> versions = store->versions(name, on_problem);
    if (versions.empty() && problems == 0) store->fail_unknown(name, 0);
    for (const RowInfo& each : versions) print_row(common, wanted.url, each);
    return problems == 0 ? 0 : 2;
  }
  ListQuery query{.tenant = wanted.tenant, .prefix = wanted.name, .on_problem = on_problem};
  while (true) {
    const std::vector<RowInfo> page = store->list(query);
    for (const RowInfo& each : page) print_row(common, wanted.url, each);
    if (page.size() < query.limit) return problems == 0 ? 0 : 2;
    query.after = page.back().name;
  }
}

int run_delete(const StoreOptions& options, const CommonOptions& common) {
  expect_words(options, 1, 1, "URL#tenant/name[@version]");
  const StoreReference wanted = parse_store_reference(options.words.front());
  const uint64_t removed = open_store(wanted.url)->remove(wanted.adapter(), wanted.version);
  print_result(common, {{"adapter", options.words.front()}, {"deleted_versions", removed}},
               concat(options.words.front(), ": ", removed, removed == 1 ? " version" : " versions", " deleted"));
  return 0;
}

int run_rollback(const StoreOptions& options, const CommonOptions& common) {
  expect_words(options, 1, 1, "URL#tenant/name@version");
  const StoreReference wanted = parse_store_reference(options.words.front());
  if (wanted.version == 0) {
    throw Error(concat(options.words.front(), ": expected @version, the one that becomes the newest, found none"));
  }
  const PutResult result = open_store(wanted.url)->rollback(wanted.adapter(), wanted.version);
  const std::string name = shown_reference(wanted.url, wanted.adapter(), result.version);
  print_result(common, {{"adapter", name}, {"version", result.version}, {"added", result.added}},
               concat(name, ": is the newest now, with the row of version ", wanted.version));
  return 0;
}

/// Numbers of LoRA on the same sites at the same ranks, as float32.
int64_t lora_bytes(const AdapterFile& adapter, const BaseModel& model) {
  const Layout layout = resolve_layout(adapter, model);
  int64_t numbers = 0;
  for (size_t i = 0; i < layout.sites.size(); ++i) {
    numbers += layout.ranks[i] * (layout.sites[i].in_features + layout.sites[i].out_features);
  }
  return numbers * static_cast<int64_t>(sizeof(float));
}

int run_stat(const StoreOptions& options, const CommonOptions& common) {
  expect_words(options, 1, 1, "URL");
  const auto store = open_store(url_of_all(options.words.front(), options));
  const StoreStat stat = store->stat();
  const uint64_t each = stat.adapters > 0 ? stat.file_bytes / stat.adapters : 0;
  Json json = {{"store", store->url().text}, {"adapters", stat.adapters},
               {"versions", stat.versions},  {"tenants", stat.tenants},
               {"kinds", stat.kinds},        {"bases", stat.bases},
               {"bytes", stat.file_bytes},   {"value_bytes", stat.value_bytes},
               {"bytes_per_adapter", each}};
  std::string text =
      concat(stat.adapters, " adapters of ", stat.tenants, " tenants in ", stat.versions, " versions, ", stat.kinds,
             " kinds, ", stat.bases, " bases; ", human_bytes(static_cast<int64_t>(stat.file_bytes)), ", ",
             human_bytes(static_cast<int64_t>(each)), " per adapter");
  if (!options.model.empty() && stat.adapters > 0) {
    const AdapterName first = store->list({.limit = 1}).front().name;
    const int64_t lora = lora_bytes(get_adapter(*store, first), open_model(options.model, settings_of(common)));
    json["lora_bytes_per_adapter"] = lora;
    text += concat(" (LoRA on the sites and ranks of ", first.tenant, "/", first.name, ": ", human_bytes(lora), ")");
  }
  print_result(common, json, text);
  return 0;
}

int run_verify(const StoreOptions& options, const CommonOptions& common) {
  expect_words(options, 1, 1, "URL");
  const auto store = open_store(url_of_all(options.words.front(), options));
  uint64_t problems = 0;
  const uint64_t read = store->verify(said_and_counted(problems));
  print_result(common, {{"store", store->url().text}, {"versions", read}, {"problems", problems}},
               concat(store->url().text, ": ", read, " versions read, ", problems, " problems"));
  return problems == 0 ? 0 : 2;
}

int run_copy(const StoreOptions& options, const CommonOptions& common) {
  expect_words(options, 2, 2, "URL URL");
  const StoreUrl from = url_of_all(options.words[0], options), to = url_of_all(options.words[1], options);
  const auto source = open_store(from);
  uint64_t problems = 0;
  const CopyReport copy = copy_store(*source, *open_store(to, OpenStore::kCreate), said_and_counted(problems));
  std::string text = concat(to.text, ": ", copy.copied, " versions copied from ", from.text);
  if (copy.renumbered > 0) text += concat(", ", copy.renumbered, " under new numbers, as theirs were given already");
  if (problems > 0) text += concat("; ", problems, " damaged, left out");
  print_result(common,
               {{"from", from.text},
                {"to", to.text},
                {"versions", copy.copied},
                {"renumbered", copy.renumbered},
                {"problems", problems}},
               text);
  return problems == 0 ? 0 : 2;
}

int run_backup(const StoreOptions& options, const CommonOptions& common) {
  expect_words(options, 1, 1, "URL and --out FOLDER");
  if (options.out.empty()) throw Error("store backup: expected --out FOLDER, found none");
  const auto store = open_store(url_of_all(options.words.front(), options));
  uint64_t problems = 0;
  store->backup(options.out, said_and_counted(problems));
  const char* const damaged =
      store->url().scheme == StoreScheme::kLmdb ? " damaged, kept as found" : " damaged, left out";
  print_result(common, {{"store", options.words.front()}, {"out", options.out}, {"problems", problems}},
               concat(options.out, ": a store as ", options.words.front(), " was at one moment",
                      problems > 0 ? concat("; ", problems, damaged) : ""));
  return problems == 0 ? 0 : 2;
}

int run_compact(const StoreOptions& options, const CommonOptions& common) {
  expect_words(options, 1, 1, "URL");
  const auto store = open_store(url_of_all(options.words.front(), options));
  const uint64_t before = store->stat().file_bytes;
  uint64_t problems = 0;
  store->compact(said_and_counted(problems));
  const uint64_t after = store->stat().file_bytes;
  print_result(common,
               {{"store", store->url().text}, {"bytes_before", before}, {"bytes", after}, {"problems", problems}},
               concat(store->url().text, ": ", human_bytes(static_cast<int64_t>(before)), " became ",
                      human_bytes(static_cast<int64_t>(after)),
                      problems > 0 ? concat("; ", problems, " damaged, kept as found") : ""));
  return problems == 0 ? 0 : 2;
}

struct StoreAction {
  const char* name;
  int (*run)(const StoreOptions&, const CommonOptions&);
  bool has_out, has_put_options, has_model;
};
constexpr StoreAction kActions[] = {{"put", run_put, false, true, true},
                                    {"get", run_get, true, false, false},
                                    {"list", run_list, false, false, false},
                                    {"delete", run_delete, false, false, false},
                                    {"rollback", run_rollback, false, false, false},
                                    {"stat", run_stat, false, false, true},
                                    {"verify", run_verify, false, false, false},
                                    {"copy", run_copy, false, false, false},
                                    {"backup", run_backup, true, false, false},
                                    {"compact", run_compact, false, false, false}};

}  // namespace

int run(const StoreOptions& options, const CommonOptions& common) {
  const StoreOptions none;
  for (const StoreAction& action : kActions) {
    if (options.action != action.name) continue;
    if (!action.has_out) expect_no(!options.out.empty(), "--out", options);
    if (!action.has_model) expect_no(!options.model.empty(), "--model", options);
    if (!action.has_put_options) {
      expect_no(options.dtype != none.dtype, "--dtype", options);
      expect_no(options.keep != none.keep, "--keep", options);
    }
    if (options.action != "list") expect_no(options.versions, "--versions", options);
    return action.run(options, common);
  }
  throw Error(concat("store: expected an action, found ", options.action));
}

}  // namespace loraxs
