#include "api/fleet_jobs.h"

#include <algorithm>
#include <cctype>
#include <functional>
#include <unordered_map>

#include "data/json_records.h"
#include "eval/metrics.h"
#include "io/error.h"
#include "io/json.h"
#include "io/seeds.h"
#include "io/sha256.h"
#include "train/job_identity.h"
#include "train/recipe_layout.h"

namespace loraxs {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kAhead = 16;  // encoded jobs that wait at most
constexpr const char* kTenant = "default";

/// As the store has them: [A-Za-z0-9][A-Za-z0-9._:-]*.
bool is_name(const std::string& text, size_t most) {
  const auto plain = [](unsigned char c) { return c < 0x80 && std::isalnum(c) != 0; };
  return !text.empty() && text.size() <= most && plain(text.front()) &&
         std::all_of(text.begin(), text.end(),
                     [&](unsigned char c) { return plain(c) || c == '.' || c == '_' || c == ':' || c == '-'; });
}

void read_names(Fields& fields, FleetMember& member) {
  constexpr size_t kMostTenant = 64, kMostName = 128;
  const auto read = [&](const char* key, size_t most) {
    const std::string text = fields.text(key, "");
    if (is_name(text, most)) return text;
    fields.fail(
        key, concat("expected at most ", most, " letters, digits and . _ : - that begin with a letter or digit, found ",
                    text.empty() ? "none" : "\"" + shortened(text, 40) + "\""));
  };
  const std::string tenant = read("tenant", kMostTenant), name = read("name", kMostName);
  member.tenant = tenant;
  member.name = name;
}

std::string digest_of(const RunExamples& examples) {
  Sha256 digest;
  for (const ExampleView* view : {&examples.train, &examples.choosing}) {
    for (int64_t i = 0; i < view->size(); ++i) {
      const double target = view->target(i);
      digest.update(std::as_bytes(std::span(view->encoding(i).input_ids)));
      digest.update(std::as_bytes(std::span(&target, 1)));
    }
    digest.update("|");
  }
  return digest.hex();
}

/// A job's keys and its examples; a list of examples stays as it is written, in order.
struct JobLine {
  nlohmann::json keys;
  Json examples;
};

JobLine parse_line(std::string_view text, const std::string& where) {
  Json record = parse_ordered_json(text, where, kDataLimits);
  if (!record.is_object()) {
    throw Error(
        concat(where, ": expected an object of tenant, name and examples, found ", shortened(json_text(record), 40)));
  }
  JobLine line;
  if (const auto found = record.find("examples"); found != record.end()) {
    line.examples = std::move(*found);
    record.erase("examples");
  }
  line.keys = nlohmann::json::object();
  for (const auto& [key, value] : record.items()) line.keys[key] = value;
  return line;
}

}  // namespace

FleetJobs::FleetJobs(const Recipe& recipe, const FleetRecipe& fleet, const TaskEncoder& encoder, const BaseModel& model,
                     const std::string& where)
    : recipe_(recipe), fleet_(fleet), encoder_(encoder), model_(model) {
  for (const char* key : {"train", "validation", "data"}) {
    if (!recipe.task.contains(key)) continue;
    throw Error(concat(where, ": task.", key, ": expected none for a fleet, whose jobs bring their own, found ",
                       shortened(json_text(recipe.task.at(key)), 60)));
  }
  if (std::filesystem::is_directory(fleet.jobs)) {
    list_files();
  } else {
    list_lines();
  }
  std::sort(titles_.begin(), titles_.end());
  if (entries_.empty()) throw Error(concat(fleet.jobs, ": expected jobs, found none"));
}

FleetJobs::~FleetJobs() {
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void FleetJobs::list_lines() {
  file_ = MappedFile::open(fleet_.jobs);
  const std::string_view text = file_->text();
  digest_ = sha256_hex(text);
  std::unordered_map<std::string, int64_t> lines;  // of each name so far
  int64_t number = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const Entry entry{.offset = begin, .bytes = end - begin, .line = ++number, .file = {}};
    begin = end + 1;
    if (text.substr(entry.offset, entry.bytes).find_first_not_of(" \t\r") == std::string_view::npos) continue;
    entries_.push_back(entry);
    FleetMember member;
    try {
      Fields fields(parse_line(text.substr(entry.offset, entry.bytes), place(entry)).keys, place(entry));
      read_names(fields, member);
    } catch (const Error&) {
      continue;  // the job's own failure, when its turn comes
    }
    titles_.push_back(std::hash<std::string>()(member.title()));
    const auto [known, fresh] = lines.emplace(member.title(), entry.line);
    if (fresh) continue;
    throw Error(concat(place(entry), ": expected each tenant and name once, found ", member.title(), " on line ",
                       known->second, " too"));
  }
  file_->release_pages();
}

void FleetJobs::list_files() {
  const std::filesystem::path folder = fleet_.jobs;
  std::error_code code;
  const auto add = [&](const std::filesystem::directory_entry& entry) {
    if (entry.is_regular_file() && !entry.path().filename().string().starts_with('.')) {
      entries_.push_back({.file = entry.path().lexically_relative(folder)});
    }
  };
  for (const auto& entry : std::filesystem::directory_iterator(folder, code)) {
    if (!entry.is_directory()) {
      add(entry);
      continue;
    }
    for (const auto& file : std::filesystem::directory_iterator(entry.path(), code)) add(file);
  }
  if (code) throw Error(concat(folder.string(), ": cannot read: ", code.message()));
  std::sort(entries_.begin(), entries_.end(), [](const Entry& x, const Entry& y) { return x.file < y.file; });
  Sha256 digest;
  std::unordered_map<std::string, std::filesystem::path> files;
  for (const Entry& entry : entries_) {
    digest.update(entry.file.string()).update(concat("|", std::filesystem::file_size(folder / entry.file), "|"));
    const std::string title = (entry.file.parent_path() / entry.file.stem()).string();
    titles_.push_back(std::hash<std::string>()(entry.file.has_parent_path() ? title : concat(kTenant, "/", title)));
    if (const auto [known, fresh] = files.emplace(title, entry.file); !fresh) {
      throw Error(concat((folder / entry.file).string(), ": expected one file for each name, found ",
                         known->second.string(), " too"));
    }
  }
  digest_ = digest.hex();
}

bool FleetJobs::contains(const std::string& title) const {
  return std::binary_search(titles_.begin(), titles_.end(), std::hash<std::string>()(title));
}

std::string FleetJobs::place(const Entry& entry) const {
  return entry.line > 0 ? concat(fleet_.jobs, ":", entry.line)
                        : (std::filesystem::path(fleet_.jobs) / entry.file).string();
}

FleetArrival FleetJobs::arrival(int64_t index, bool again) const {
  const Entry& entry = entries_[index];
  FleetMember member{.index = index, .tenant = "", .name = "", .where = place(entry)};
  try {
    FleetJob job = make(member, entry);
    if (kept_in_ == nullptr || again) return job;
    nlohmann::json summary = kept_in_->summary_of(member.title());
    const bool done = summary.is_object() && summary.value(kJobIdentity, nlohmann::json()) == job.identity;
    if (done) return FleetKept{.member = member, .summary = std::move(summary)};
    return job;
  } catch (const Error& error) {
    return FleetFailure{.member = member, .reason = error.what()};
  }
}

FleetJob FleetJobs::make(FleetMember& member, const Entry& entry) const {
  JobLine line;
  if (entry.line > 0) {
    line = parse_line(file_->text().substr(entry.offset, entry.bytes), member.where);
  } else {
    const std::string tenant = entry.file.parent_path().string();
    line.keys = {
        {"tenant", tenant.empty() ? kTenant : tenant}, {"name", entry.file.stem().string()}, {"data", member.where}};
  }
  Fields fields(line.keys, member.where);
  read_names(fields, member);
  FleetJob job{.member = member, .train = parse_job_train(fields, recipe_.train)};
  const std::string data = fields.text("data", "");
  const std::string start = fields.text("start", fleet_.start);
  const std::string init_head = fields.choice(
      "init_head", fleet_.init_head.empty() ? (is_own_start(start) ? "carry" : "fresh") : fleet_.init_head,
      {"fresh", "carry"});
  nlohmann::json section = recipe_.task;
  if (fields.has("labels")) section["labels"] = fields.raw("labels");
  if (fleet_.validation > 0) section["validation"] = fleet_.validation;
  fields.finish();
  if (data.empty() == line.examples.is_null()) {
    fields.fail("data", concat("expected a file, or a list of examples as \"examples\", found ",
                               data.empty() ? "neither" : "both"));
  }
  if (job.train.max_length > model_.config.max_length()) {
    fields.fail("max_length", concat("expected at most ", model_.config.max_length(),
                                     " (the model's positions), found ", job.train.max_length));
  }
  Task task;
  if (data.empty()) {
    Fields own(section, member.where);
    task = task_of_examples(own, line.examples, member.where + ": examples");
  } else {
    section["train"] = data;
    Fields own(section, member.where);
    task = load_task(own, std::filesystem::current_path());
  }
  if (!task.language_model()) check_metric(task.metric, task.regression(), member.where);
  const auto train = std::make_shared<const EncodedExamples>(encoder_.encode(task, task.train, job.train.max_length));
  if (train->size() == 0) {
    throw Error(concat(member.where, ": expected examples to train on, found none",
                       train->num_dropped > 0 ? concat(": of ", train->num_dropped, " max_length ",
                                                       job.train.max_length, " leaves no answer")
                                              : ""));
  }
  job.examples = {.train = ExampleView(train),
                  .choosing = encoder_.encode(task, task.validation, job.train.max_length),
                  .reported = {}};
  job.digest = digest_of(job.examples);
  job.head = task_head(recipe_.head, task, *model_.architecture, member.where);
  if (job.head.kind != "none") job.labels = task.labels;
  if (starts_ != nullptr && start != "fresh") {
    job.start = starts_->resolve(start, member, recipe_layout(recipe_.method, job.head, model_, member.where),
                                 job.labels, init_head == "carry");
  }
  const int64_t seed = job.train.seeds.front();
  job.job = {.name = member.title(),
             .seed = seed,
             .key = derive_seed(static_cast<uint64_t>(seed), member.title()),
             .learning_rate = job.train.learning_rate.front(),
             .head_learning_rate = job.train.head_learning_rate.front()};
  const bool from_newest = is_own_start(start) && !names_own_version(start);
  job.identity = job_identity(recipe_, job, model_.base_id, basis_id_, from_newest ? init_head : "");
  return job;
}

void FleetJobs::begin(std::vector<int64_t> again, int64_t next) {
  thread_ = std::thread([this, again = std::move(again), next] {
    try {
      work(again, next);
    } catch (...) {
      const std::lock_guard lock(mutex_);
      broken_ = std::current_exception();
      changed_.notify_all();
    }
  });
}

void FleetJobs::work(const std::vector<int64_t>& again, int64_t next) {
  for (const int64_t index : again) {
    if (index < 0 || index >= size() || !deliver(arrival(index, /*again=*/true))) return;
  }
  for (int64_t index = next; index < size(); ++index) {
    if (!deliver(arrival(index, /*again=*/false))) return;
  }
  deliver(std::nullopt);
}

bool FleetJobs::deliver(std::optional<FleetArrival> arrival) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return over_ || ready_.size() < kAhead; });
  if (over_) return false;
  ready_.push_back(std::move(arrival));
  changed_.notify_all();
  return true;
}

std::optional<FleetArrival> FleetJobs::next() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return broken_ || !ready_.empty(); });
  if (ready_.empty()) std::rethrow_exception(broken_);
  if (!ready_.front()) return std::nullopt;  // the end stays
  std::optional<FleetArrival> arrival = std::move(ready_.front());
  ready_.pop_front();
  changed_.notify_all();
  return arrival;
}

}  // namespace loraxs
