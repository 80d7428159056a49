#include "api/store.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "adapt/adapter_record.h"
#include "api/opened_adapter.h"
#include "io/atomic_file.h"
#include "io/error.h"
#include "io/input_file.h"
#include "io/json.h"
#include "store/row_numbers.h"

namespace loraxs {
namespace {

StoreReference reference_of(const AdapterFile& adapter) { return parse_store_reference(adapter.path.string()); }

/// The bytes of the basis that a stored adapter travels with.
std::string basis_bytes(const AdapterFile& adapter) {
  const StoreReference reference = reference_of(adapter);
  const std::string where = adapter.path.string();
  const Digest digest = digest_from_hex(adapter.basis_id, where + ": basis_id");
  std::optional<std::string> bytes = open_store(reference.url)->shared(SharedKind::kBasis, digest);
  if (!bytes) {
    throw Error(concat(where, ": expected the basis ", adapter.basis_id.substr(0, 16),
                       "… that it travels with in its store, found none; --basis FILE names it"));
  }
  return std::move(*bytes);
}

void write_basis_bytes(const AdapterFile& adapter, const std::filesystem::path& file) {
  std::error_code code;
  if (std::filesystem::exists(file, code)) return;  // read_basis checks what is there
  const std::string bytes = basis_bytes(adapter);
  try {
    write_file_atomically(file, std::string_view(bytes));
  } catch (const Error&) {
    if (!std::filesystem::exists(file, code)) throw;  // else another program was faster
  }
}

}  // namespace

StoredAdapter get_stored_adapter(Store& store, const AdapterName& name, std::uint64_t version) {
  const StoredRow stored = store.get(name, version);
  const std::string where = shown_reference(store.url(), name, version);
  const std::optional<std::string> kind = store.shared(SharedKind::kKind, stored.header.kind);
  if (!kind) {
    throw Error(concat(where, ": damaged: its kind ", digest_hex(stored.header.kind).substr(0, 16),
                       "… is not there; put a backup in the store's place"));
  }
  std::vector<float> row(stored.header.numbers);
  decode_row(stored.header.dtype, stored.row, row);
  // The URL with its password, as the path is opened again.
  const std::string path =
      concat(store.url().text, "#", name.tenant, "/", name.name, version > 0 ? concat("@", version) : "");
  const nlohmann::json entry = parse_json(stored.tail, where, {.bytes = kTailBytes});
  AdapterFile adapter = adapter_of(path, parse_kind(*kind, where), entry, std::move(row));
  adapter.row_digest = digest_hex(stored.header.row_digest);
  return {.adapter = std::move(adapter), .header = stored.header, .row_bytes = stored.row.size()};
}

StoredAdapter get_stored_adapter(const std::string& reference) {
  const StoreReference parsed = parse_store_reference(reference);
  const AdapterName name = parsed.adapter();
  return get_stored_adapter(*open_store(parsed.url), name, parsed.version);
}

AdapterFile get_adapter(Store& store, const AdapterName& name, std::uint64_t version) {
  return get_stored_adapter(store, name, version).adapter;
}

AdapterFile load_adapter(const std::filesystem::path& name) {
  return is_store_url(name.string()) ? get_stored_adapter(name.string()).adapter : read_adapter(name);
}

std::vector<std::filesystem::path> adapters_of(const std::filesystem::path& place) {
  if (!is_store_url(place.string())) return adapters_in(place);
  const StoreReference reference = parse_store_reference(place.string());
  if (!reference.name.empty() && !reference.many) return {place};
  const auto store = open_store(reference.url);
  ListQuery query{.tenant = reference.tenant, .prefix = reference.name};
  std::vector<std::filesystem::path> found;
  while (true) {
    const std::vector<RowInfo> page = store->list(query);
    found.reserve(found.size() + page.size());
    for (const RowInfo& each : page) {
      found.emplace_back(concat(reference.url.text, "#", each.name.tenant, "/", each.name.name));
    }
    if (page.size() < query.limit) break;
    query.after = page.back().name;
  }
  if (found.empty()) {
    throw Error(concat(reference.url.text, "#", reference.tenant, "/", reference.name,
                       ": expected adapters, found none of that tenant and beginning"));
  }
  return found;
}

std::string adapter_stem(const std::filesystem::path& name) {
  return is_store_url(name.string()) ? parse_store_reference(name.string()).name : name.stem().string();
}

std::vector<std::shared_ptr<Store>> open_stores_of(const std::vector<std::string>& names) {
  std::map<std::string, std::shared_ptr<Store>> stores;
  for (const std::string& name : names) {
    if (!is_store_url(name)) continue;
    try {
      const StoreUrl url = parse_store_url(name.substr(0, name.find('#')));
      if (!stores.contains(url.text)) stores[url.text] = open_store(url);
    } catch (const Error&) {  // NOLINT(bugprone-empty-catch): the adapter's own error
    }
  }
  std::vector<std::shared_ptr<Store>> opened;
  opened.reserve(stores.size());
  for (auto& [url, store] : stores) opened.push_back(std::move(store));
  return opened;
}

std::filesystem::path stored_basis(const AdapterFile& adapter, const std::filesystem::path& cache) {
  std::error_code code;
  std::filesystem::create_directories(cache, code);
  std::filesystem::path file = travelling_basis(cache / "stored", adapter.basis_id);
  write_basis_bytes(adapter, file);
  return file;
}

std::vector<std::uint32_t> row_segments(const Layout& layout) {
  std::vector<std::uint32_t> segments;
  segments.reserve(layout.segments.size());
  for (const LayoutSegment& segment : layout.segments) segments.push_back(static_cast<std::uint32_t>(segment.numel()));
  return segments;
}

std::vector<float> rounded_row(const AdapterFile& adapter, const PutOptions& options) {
  const std::vector<std::byte> bytes = encode_row(adapter.row, options.dtype, options.segments, adapter.path.string());
  std::vector<float> row(adapter.row.size());
  decode_row(options.dtype, bytes, row);
  return row;
}

std::vector<PutResult> put_adapters(Store& store, const std::vector<NamedAdapter>& adapters,
                                    const PutOptions& options) {
  std::vector<std::vector<std::byte>> rows;
  std::vector<NewRow> batch;
  rows.reserve(adapters.size());
  batch.reserve(adapters.size());
  std::map<Digest, std::string> kinds;
  std::map<std::string, const AdapterFile*> bases;
  for (const auto& [name, adapter] : adapters) {
    check_adapter_name(name, store.url().text);
    const std::string kind = kind_text(kind_of(*adapter));
    const Digest digest = digest_of_bytes(std::as_bytes(std::span(kind)));
    kinds.emplace(digest, kind);
    if (adapter->basis.travels()) bases.emplace(adapter->basis_id, adapter);
    rows.push_back(encode_row(adapter->row, options.dtype, options.segments, adapter->path.string()));
    batch.push_back(
        {.name = name,
         .header = {.dtype = options.dtype, .numbers = static_cast<std::uint32_t>(adapter->row.size()), .kind = digest},
         .row = rows.back(),
         .tail = json_text(entry_of(*adapter))});
  }
  // First what the rows name: a program that dies between leaves no row without its kind.
  for (const auto& [digest, kind] : kinds) store.put_shared(SharedKind::kKind, digest, kind);
  for (const auto& [id, adapter] : bases) {
    const std::string where = adapter->path.string();
    std::string bytes;
    if (is_store_url(where)) {
      bytes = basis_bytes(*adapter);
    } else {
      const std::filesystem::path file = basis_file_of(*adapter, {}, {});
      if (file.empty()) {
        throw Error(concat(where, ": expected its basis beside it, ", travelling_basis(where, id).string(),
                           ", found none; it belongs to its adapters and goes into the store with them"));
      }
      bytes = read_file(file);
    }
    store.put_shared(SharedKind::kBasis, digest_from_hex(id, where + ": basis_id"), bytes);
  }
  return store.put(batch, options.keep);
}

std::uint64_t get_adapter_file(const std::string& reference, const std::filesystem::path& out) {
  refuse_existing(out, "--out");
  const auto [adapter, header, row_bytes] = get_stored_adapter(reference);
  if (adapter.basis.travels()) write_basis_bytes(adapter, travelling_basis(out, adapter.basis_id));
  write_adapter(out, adapter);
  return header.version;
}

}  // namespace loraxs
