#include "store/store.h"

#include <chrono>

#include "io/error.h"
#include "io/fields.h"
#include "store/lmdb_store.h"
#include "store/postgres_store.h"
#include "store/row_numbers.h"

namespace loraxs {
namespace {

std::int64_t microseconds_now() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::microseconds>(now).count();
}

bool is_same(const RowValue& newest, const NewRow& row, const RowHeader& header) {
  return newest.header.row_digest == header.row_digest && newest.header.kind == header.kind &&
         newest.header.dtype == header.dtype && newest.tail == row.tail;
}

/// Versions behind the newest `keep`.
void prune(WriteTransaction& transaction, const AdapterName& name, std::uint64_t keep) {
  const std::vector<std::uint64_t> versions = transaction.versions(name);
  for (std::size_t i = keep; i < versions.size(); ++i) transaction.erase(name, versions[i]);
}

PutResult put_one(WriteTransaction& transaction, const NewRow& row, RowHeader header, const std::string& where) {
  const std::optional<RowValue> newest = transaction.find(row.name, 0);
  if (newest && header.version <= newest->header.version && is_same(*newest, row, header)) {
    return {.version = newest->header.version, .added = false};
  }
  header.version = std::max(header.version, (newest ? newest->header.version : 0) + 1);
  const std::vector<std::byte> value =
      encode_row_value(row.name, {.header = header, .row = row.row, .tail = row.tail}, where);
  transaction.add(row.name, header, value);
  return {.version = header.version, .added = true};
}

}  // namespace

void tell_problem(const OnProblem& on_problem, const std::function<void()>& check) {
  try {
    check();
  } catch (const Error& error) {
    if (!on_problem) throw;
    on_problem(error.what());
  }
}

StoredRow Store::get(const AdapterName& name, std::uint64_t version) {
  StoredRow stored{.name = name};
  const bool found = read(name, version, [&](const RowValue& value) {
    stored.header = value.header;
    stored.row.assign(value.row.begin(), value.row.end());
    stored.tail = value.tail;
  });
  if (!found) fail_unknown(name, version);
  return stored;
}

void Store::fail_unknown(const AdapterName& name, std::uint64_t version) {
  if (version > 0) {
    if (const std::vector<RowInfo> there = versions(name); !there.empty()) {
      throw Error(concat(shown_reference(url_, name, version), ": expected a version from ",
                         there.back().header.version, " to ", there.front().header.version,
                         " that was kept, found none of that number; loraxs store list ", shown_reference(url_, name),
                         " --versions shows them"));
    }
  }
  constexpr std::size_t kLookedThrough = 1000;
  std::vector<std::string> names;
  for (const RowInfo& each : list({.tenant = name.tenant, .limit = kLookedThrough})) names.push_back(each.name.name);
  if (names.empty()) {
    throw Error(concat(shown_reference(url_, name), ": expected a tenant of the store, found no adapter of ",
                       name.tenant, "; loraxs store list shows what is there"));
  }
  const std::optional<std::string> near = nearest_name(name.name, names);
  throw Error(concat(shown_reference(url_, name), ": expected an adapter of ", name.tenant, ", found none of that name",
                     near ? "; did you mean " + *near + "?" : "; loraxs store list shows what is there"));
}

std::vector<PutResult> Store::put(std::span<const NewRow> rows, std::uint64_t keep) {
  std::vector<PutResult> results(rows.size());
  std::vector<RowHeader> headers;
  std::vector<AdapterName> names;
  headers.reserve(rows.size());
  names.reserve(rows.size());
  const std::int64_t now = microseconds_now();
  for (const NewRow& row : rows) {
    const std::string where = shown_reference(url_, row.name);
    check_adapter_name(row.name, url_.text);
    check_row_form(row.header.dtype, row.header.numbers, row.row, where);
    check_row_finite(row.header.dtype, row.row, where);
    headers.push_back(row.header);
    headers.back().row_digest = digest_of_bytes(row.row);
    if (headers.back().created == 0) headers.back().created = now;
    names.push_back(row.name);
  }
  for (std::size_t begin = 0, end = 0; begin < rows.size(); begin = end) {
    for (std::size_t bytes = 0; end < rows.size() && (end == begin || bytes < kBatchBytes); ++end) {
      bytes += rows[end].row.size();
    }
    write([&](WriteTransaction& transaction) {
      transaction.expect(std::span(names).subspan(begin, end - begin));
      for (std::size_t i = begin; i < end; ++i) {
        results[i] = put_one(transaction, rows[i], headers[i], shown_reference(url_, rows[i].name));
        if (keep > 0) prune(transaction, rows[i].name, keep);
      }
    });
  }
  return results;
}

PutResult Store::put(const NewRow& row, std::uint64_t keep) { return put(std::span(&row, 1), keep).front(); }

void Store::put_shared(SharedKind kind, const Digest& digest, std::string_view bytes) {
  check_shared(kind, digest, bytes, url_.text);
  write([&](WriteTransaction& transaction) { transaction.add_shared(kind, digest, bytes); });
}

PutResult Store::rollback(const AdapterName& name, std::uint64_t version) {
  std::optional<PutResult> result;
  write([&](WriteTransaction& transaction) {
    transaction.expect(std::span(&name, 1));
    const std::optional<RowValue> found = transaction.find(name, version);
    if (!found) return;
    const std::vector<std::byte> bytes(found->row.begin(), found->row.end());
    const NewRow old{.name = name, .header = found->header, .row = bytes, .tail = std::string(found->tail)};
    RowHeader header = old.header;
    header.version = 0;
    header.created = microseconds_now();
    result = put_one(transaction, old, header, shown_reference(url_, name));
  });
  if (!result) fail_unknown(name, version);
  return *result;
}

std::uint64_t Store::remove(const AdapterName& name, std::uint64_t version) {
  std::uint64_t removed = 0;
  write([&](WriteTransaction& transaction) {
    removed = 0;
    transaction.expect(std::span(&name, 1));
    for (const std::uint64_t each : transaction.versions(name)) {
      if (version != 0 && each != version) continue;
      transaction.erase(name, each);
      ++removed;
    }
  });
  if (removed == 0) fail_unknown(name, version);
  return removed;
}

std::shared_ptr<Store> open_store(const StoreUrl& url, OpenStore how) {
  return url.scheme == StoreScheme::kLmdb ? open_lmdb_store(url, how) : open_postgres_store(url, how);
}

std::uint64_t copy_store(Store& from, Store& to) {
  for (const SharedKind kind : {SharedKind::kKind, SharedKind::kBasis}) {
    for (const Digest& digest : from.shared_digests(kind)) {
      if (const std::optional<std::string> bytes = from.shared(kind, digest)) to.put_shared(kind, digest, *bytes);
    }
  }
  std::uint64_t copied = 0;
  ListQuery query;
  std::vector<StoredRow> batch;
  std::size_t batch_bytes = 0;
  const auto flush = [&] {
    std::vector<NewRow> rows;
    rows.reserve(batch.size());
    for (const StoredRow& each : batch) {
      rows.push_back({.name = each.name, .header = each.header, .row = each.row, .tail = each.tail});
    }
    for (const PutResult& result : to.put(rows)) copied += result.added ? 1 : 0;
    batch.clear();
    batch_bytes = 0;
  };
  while (true) {
    const std::vector<RowInfo> page = from.list(query);
    for (const RowInfo& newest : page) {
      const std::vector<RowInfo> there = to.versions(newest.name);
      const std::uint64_t known = there.empty() ? 0 : there.front().header.version;
      std::vector<RowInfo> versions = from.versions(newest.name);
      for (auto each = versions.rbegin(); each != versions.rend(); ++each) {
        if (each->header.version <= known) continue;
        const bool found = from.read(newest.name, each->header.version, [&](const RowValue& value) {
          batch.push_back({.name = newest.name,
                           .header = value.header,
                           .row = {value.row.begin(), value.row.end()},
                           .tail = std::string(value.tail)});
          batch_bytes += value.row.size();
        });
        if (found && batch_bytes >= Store::kBatchBytes / 4) flush();  // one that went meanwhile is not copied
      }
    }
    if (page.size() < query.limit) break;
    query.after = page.back().name;
  }
  if (!batch.empty()) flush();
  return copied;
}

}  // namespace loraxs
