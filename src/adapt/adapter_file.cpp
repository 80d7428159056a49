#include "adapt/adapter_file.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

#include "adapt/adapter_record.h"
#include "adapt/method.h"
#include "io/error.h"
#include "io/json.h"
#include "io/sha256.h"

namespace loraxs {
namespace {

constexpr const char* kAdapterFormat = "loraxs-adapter-2";
constexpr const char* kFirstAdapterFormat = "loraxs-adapter-1";  // whose digest, row_digest, is of the row alone

/// Over every entry of the metadata but itself, in the order of their names, and the row: key and value, each behind
/// its length as 8 little-endian bytes, then the row's bytes.
std::string digest_of(const std::map<std::string, std::string>& metadata, std::span<const std::byte> row) {
  Sha256 digest;
  const auto add = [&](const std::string& text) {
    char length[8];
    for (size_t i = 0; i < sizeof length; ++i) length[i] = static_cast<char>(text.size() >> (8 * i));
    digest.update(std::string_view(length, sizeof length)).update(text);
  };
  for (const auto& [key, value] : metadata) {
    if (key == "digest") continue;
    add(key);
    add(value);
  }
  return digest.update(row).hex();
}

/// How a row may be stored. All but the first are named in the metadata, which the digest covers.
struct RowForm {
  torch::ScalarType type;
  Dtype stored;
  const char* name;
};
constexpr RowForm kRowForms[] = {{torch::kFloat32, Dtype::kFloat32, "float32"},
                                 {torch::kBFloat16, Dtype::kBFloat16, "bfloat16"},
                                 {torch::kFloat16, Dtype::kFloat16, "float16"}};

template <typename Matches>
const RowForm* find_row_form(const Matches& matches) {
  const auto* const found = std::find_if(std::begin(kRowForms), std::end(kRowForms), matches);
  return found == std::end(kRowForms) ? nullptr : found;
}

/// The row's numbers as a vector of `form`.
torch::Tensor stored_row(const torch::Tensor& values, const RowForm& form, const std::filesystem::path& path) {
  torch::Tensor row = values.to(torch::kCPU, form.type).contiguous();
  if (values.isfinite().all().item<bool>() && !row.isfinite().all().item<bool>()) {
    throw Error(concat(path.string(), ": row: expected numbers within ", form.name, ", found up to ",
                       values.abs().max().item<float>(), "; bfloat16 and float32 hold them"));
  }
  return row;
}

/// Throws Error where the type of a file's row is not the one that the metadata name.
void check_row_form(const Safetensors& file, const TensorView& view) {
  const auto named = file.metadata.find("row_dtype");
  const std::string name = named == file.metadata.end() ? "float32" : named->second;
  const RowForm* form = find_row_form([&](const RowForm& each) { return name == each.name; });
  if (form == nullptr) {
    throw Error(concat(file.path.string(), ": row_dtype: expected bfloat16 or float16, found ", name));
  }
  if (view.dtype != form->stored || view.shape.size() != 1) {
    throw Error(concat(file.path.string(), ": row: expected a ", form->name, " vector, found ", view.dtype_text,
                       " with ", view.shape.size(), " dimensions"));
  }
}

/// A folder is named where its adapter is meant: what is there, and how to get at it.
void refuse_folder(const std::filesystem::path& path) {
  if (!std::filesystem::is_directory(path)) return;
  const bool peft = std::filesystem::exists(path / "adapter_config.json"),
             run = std::filesystem::exists(path / ".loraxs-run");
  throw Error(concat(path.string(), ": expected an adapter file, found a folder",
                     peft  ? " of PEFT; loraxs import makes an adapter file of it"
                     : run ? " of a run; loraxs show lists the adapters in it"
                           : ""));
}

/// All but the numbers.
AdapterFile describe_row(const Bank& bank, int64_t row, const BaseModel& model, const Basis& basis,
                         const AdapterProvenance& provenance) {
  AdapterFile adapter{.base_id = model.base_id,
                      .method = bank.layout->method,
                      .alpha = bank.alpha(row),
                      .layout_json = layout_to_json(*bank.layout, bank.labels(row)).dump(),
                      .labels = bank.labels(row),
                      .provenance = provenance};
  if (!reads_basis(adapter)) return adapter;
  adapter.basis_id = basis.basis_id;
  adapter.basis = basis.recipe;
  adapter.fingerprint = kept_fingerprint(basis, site_ranks(*bank.layout));
  return adapter;
}

void write_record(const std::filesystem::path& path, const AdapterFile& adapter, const RowForm& form,
                  const TensorBytes& row, Existing existing) {
  std::map<std::string, std::string> metadata = adapter_metadata(adapter);
  metadata["format"] = kAdapterFormat;
  if (form.type != torch::kFloat32) metadata["row_dtype"] = form.name;
  metadata["digest"] = digest_of(metadata, row.bytes);
  write_file_atomically(path, serialize_safetensors({{"row", row}}, metadata), existing);
}

}  // namespace

std::map<std::string, int64_t> site_ranks(const Layout& layout) {
  std::map<std::string, int64_t> ranks;
  for (size_t i = 0; i < layout.sites.size(); ++i) ranks[layout.sites[i].name] = layout.ranks[i];
  return ranks;
}

void write_adapter(const std::filesystem::path& path, const Bank& bank, int64_t row, const BaseModel& model,
                   const Basis& basis, const AdapterProvenance& provenance, Existing existing,
                   torch::ScalarType dtype) {
  const RowForm* form = find_row_form([&](const RowForm& each) { return dtype == each.type; });
  TORCH_CHECK(form != nullptr, "write_adapter: a row of ", dtype);
  const HeadLayout& head = bank.layout->head;
  TORCH_CHECK(head.kind == "none" || head.regression || std::ssize(bank.labels(row)) == head.outputs,
              "write_adapter: a head of ", head.outputs, " classes with ", bank.labels(row).size(), " names");
  const torch::Tensor values = stored_row(bank.values.select(0, row), *form, path);
  const std::span bytes(static_cast<const std::byte*>(values.const_data_ptr()), values.nbytes());
  const AdapterFile adapter = describe_row(bank, row, model, basis, provenance);
  write_record(path, adapter, *form, {.dtype = form->stored, .shape = {values.numel()}, .bytes = bytes}, existing);
}

AdapterFile adapter_of(const Bank& bank, int64_t row, const BaseModel& model, const Basis& basis,
                       const AdapterProvenance& provenance) {
  AdapterFile adapter = describe_row(bank, row, model, basis, provenance);
  const torch::Tensor values = bank.values.select(0, row).to(torch::kCPU, torch::kFloat32).contiguous();
  adapter.row.assign(values.const_data_ptr<float>(), values.const_data_ptr<float>() + values.numel());
  adapter.row_digest = sha256_hex(std::as_bytes(std::span(adapter.row)));
  return adapter;
}

void write_adapter(const std::filesystem::path& path, const AdapterFile& adapter, Existing existing) {
  const std::span bytes = std::as_bytes(std::span(adapter.row));
  write_record(path, adapter, kRowForms[0],
               {.dtype = Dtype::kFloat32, .shape = {std::ssize(adapter.row)}, .bytes = bytes}, existing);
}

AdapterFile read_adapter(const std::filesystem::path& path) {
  refuse_folder(path);
  const Safetensors file = read_safetensors(path);
  const std::string where = path.string();
  const std::string format = file.metadata_at("format");
  if (format != kAdapterFormat && format != kFirstAdapterFormat) {
    throw Error(concat(where, ": format: expected ", kAdapterFormat, ", found ", format,
                       format.starts_with("loraxs-basis") ? "; this is a basis, not an adapter" : ""));
  }
  if (file.tensors.size() != 1)
    throw Error(concat(where, ": expected the one tensor row, found ", file.tensors.size()));
  const TensorView& view = file.at("row");
  check_row_form(file, view);
  const std::string row_digest = sha256_hex(view.bytes);
  const bool of_row = format == kFirstAdapterFormat;
  const std::string& expected = file.metadata_at(of_row ? "row_digest" : "digest");
  const std::string found = of_row ? row_digest : digest_of(file.metadata, view.bytes);
  if (found != expected) {
    throw Error(concat(where, ": expected digest ", expected.substr(0, 16), "…, found ", found.substr(0, 16),
                       "…; the file is damaged or was changed"));
  }
  const torch::Tensor numbers = view_tensor(view).to(torch::kFloat32);  // a view of the file where it is so stored
  std::vector<float> row(static_cast<size_t>(view.shape[0]));
  std::copy_n(numbers.const_data_ptr<float>(), row.size(), row.begin());
  AdapterFile adapter = adapter_of(path, file.metadata, std::move(row));
  adapter.row_digest = row_digest;  // of the row as it is stored
  return adapter;
}

Layout resolve_layout(const AdapterFile& file, const BaseModel& model, bool accept_base) {
  const std::string where = file.path.string();
  if (file.base_id != model.base_id && !accept_base) {
    throw Error(
        concat(where, ": base_id: expected ", model.base_id.substr(0, 16), "… (", model.folder.string(), "), found ",
               file.base_id.substr(0, 16),
               "…; this adapter was trained on another base model; --accept-base tries it all the same, where its "
               "basis fits this one"));
  }
  Layout layout = layout_from_json(parse_json(file.layout_json, where), *model.architecture, model.config, where);
  if (layout.row_size != static_cast<int64_t>(file.row.size())) {
    throw Error(concat(where, ": row: expected ", layout.row_size, " numbers for its layout, found ", file.row.size(),
                       "; this adapter was trained with another rank or head"));
  }
  return layout;
}

bool reads_basis(const AdapterFile& file) { return find_method(file.method, file.path.string()).traits.reads_basis; }

namespace {

void check_basis(const AdapterFile& file, const Layout& layout, const Basis& basis) {
  for (size_t i = 0; i < layout.sites.size(); ++i) {
    const auto pair = basis.sites.find(layout.sites[i].name);
    if (pair == basis.sites.end() || pair->second.a.size(0) < layout.ranks[i]) {
      throw Error(concat(basis.path.string(), ": expected a basis of ", layout.sites[i].name, " with rank ≥ ",
                         layout.ranks[i], " for ", file.path.string(), ", found ",
                         pair == basis.sites.end() ? "none" : concat("rank ", pair->second.a.size(0))));
    }
  }
  if (file.basis_id != basis.basis_id &&
      !fingerprints_match(basis_fingerprint(basis, site_ranks(layout)), file.fingerprint)) {
    throw Error(
        concat(file.path.string(), ": basis: expected ", file.basis_id.substr(0, 16), "…, found ",
               basis.basis_id.substr(0, 16), "… (", basis.path.string(),
               "), and its fingerprint differs; R of one basis means nothing in another: pass the basis file it was "
               "trained with (--basis)"));
  }
}

}  // namespace

Bank open_adapter(const AdapterFile& file, const Layout& layout, const Basis& basis) {
  if (reads_basis(file)) check_basis(file, layout, basis);
  Bank bank = make_bank(layout, file.alpha, 1);
  bank.set_labels(0, file.labels);
  bank.values.select(0, 0).copy_(
      torch::from_blob(const_cast<float*>(file.row.data()), {layout.row_size}, torch::kFloat32));
  return bank;
}

}  // namespace loraxs
