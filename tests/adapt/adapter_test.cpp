// Adapter files, combine, merge and export, on the tiny checkpoint with a large R.
#include <gtest/gtest.h>

#include <fstream>

#include "adapt/adapter_file.h"
#include "adapt/combine.h"
#include "adapt/exchange/peft.h"
#include "adapt/merge.h"
#include "io/safetensors.h"
#include "io/sha256.h"
#include "support/close.h"
#include "support/expect_error.h"
#include "support/oracle.h"
#include "support/temporary_folder.h"
#include "train/recipe_layout.h"

namespace loraxs {
namespace {

using test::OracleCase;

/// The case with a basis that was written, as adapters name its id.
struct Fixture : OracleCase {
  test::TemporaryFolder folder;
  std::shared_ptr<Bank> row;
  Fixture() : OracleCase("tiny_paper"), row(bank(torch::kFloat32)) {
    basis->base_id = model.base_id;
    write_basis(folder / "basis.safetensors", *basis);
    write_adapter(folder / "a.safetensors", *row, 0, model, *basis, {.task = "test", .max_length = 64});
  }
  std::string path() const { return folder / "a.safetensors"; }
};

TEST(AdapterFileTest, RoundTripAndSize) {
  const Fixture f;
  EXPECT_LE(std::filesystem::file_size(f.path()), f.layout.row_size * 4 + 2048);
  const AdapterFile file = read_adapter(f.path());
  const Layout layout = resolve_layout(file, f.model);
  EXPECT_TRUE(layout == f.layout);
  EXPECT_TRUE(open_adapter(file, layout, *f.basis).values.equal(f.row->values));
  EXPECT_EQ(file.provenance.max_length, 64);
}

TEST(AdapterFileTest, DamageAtEveryLengthAndByteIsAnError) {
  const Fixture f;
  const std::string bytes(MappedFile::open(f.path())->text());
  const auto written = [&](const std::string& content) {
    std::ofstream(f.folder / "d.safetensors", std::ios::binary) << content;
    return f.folder / "d.safetensors";
  };
  for (size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_ERROR(read_adapter(written(bytes.substr(0, length))), "d.safetensors");
  }
  const size_t data = bytes.size() - static_cast<size_t>(f.layout.row_size) * 4;
  const auto flip = [&](size_t at, const char* message) {
    SCOPED_TRACE(concat("byte ", at, ": ", bytes[at]));
    std::string flipped = bytes;
    flipped[at] = static_cast<char>(flipped[at] ^ 1);
    EXPECT_ERROR(read_adapter(written(flipped)), message);
  };
  std::string other = bytes;
  other.replace(other.find("\"F32\""), 5, "\"Q77\"");
  EXPECT_ERROR(read_adapter(written(other)),
               "d.safetensors: row: expected a float32 vector, found Q77 with 1 dimensions");
  for (const size_t at : {data, data + 1, bytes.size() - 1}) flip(at, "the file is damaged");
  for (size_t at = 0; at < data; ++at) flip(at, "d.safetensors");  // alpha, labels, provenance: all of the header
}

TEST(AdapterFileTest, NoDigitOrLabelChangesUnseenAndEarlierFilesAreRead) {
  const Fixture f;
  const Safetensors file = read_safetensors(f.path());
  const TensorView& view = file.at("row");
  const auto rewritten = [&](const std::function<void(std::map<std::string, std::string>&)>& change) {
    std::map<std::string, std::string> metadata = file.metadata;
    change(metadata);
    const TensorBytes row{.dtype = view.dtype, .shape = view.shape, .bytes = view.bytes};
    std::filesystem::remove(f.folder / "r.safetensors");
    write_safetensors(f.folder / "r.safetensors", {{"row", row}}, metadata);
    return f.folder / "r.safetensors";
  };
  EXPECT_NO_THROW(read_adapter(rewritten([](auto&) {})));
  for (const auto& [key, value] : file.metadata) {
    SCOPED_TRACE(key);
    EXPECT_ERROR(read_adapter(rewritten([&](auto& metadata) { metadata[key] += " "; })), "r.safetensors: ");
    EXPECT_ERROR(read_adapter(rewritten([&](auto& metadata) { metadata.erase(key); })), "r.safetensors: ");
  }
  EXPECT_ERROR(read_adapter(rewritten([](auto& metadata) { metadata["alpha"] = "17.0"; })), "was changed");
  EXPECT_ERROR(read_adapter(rewritten([](auto& metadata) { metadata["more"] = "1"; })), "was changed");
  // A boundary moved between key and value, and between two values, is a change too.
  EXPECT_ERROR(read_adapter(rewritten([](auto& metadata) { metadata["tas"] = "ktest", metadata.erase("task"); })),
               "was changed");
  const AdapterFile first = read_adapter(rewritten([&](auto& metadata) {
    metadata["format"] = "loraxs-adapter-1";
    metadata["row_digest"] = sha256_hex(view.bytes);
    metadata.erase("digest");
  }));
  EXPECT_EQ(first.row, read_adapter(f.path()).row);
  EXPECT_EQ(first.row_digest, read_adapter(f.path()).row_digest);  // what a run that starts from it is known by
}

TEST(AdapterFileTest, WrongBaseRankAndBasisAreRefused) {
  const Fixture f;
  const AdapterFile file = read_adapter(f.path());
  BaseModel other = f.model;
  other.base_id = std::string(64, '0');
  EXPECT_ERROR(resolve_layout(file, other), "trained on another base model");
  EXPECT_NO_THROW(resolve_layout(file, other, /*accept_base=*/true));
  AdapterFile short_row = file;
  short_row.row.pop_back();
  EXPECT_ERROR(resolve_layout(short_row, f.model), "trained with another rank or head");
  Basis flipped = *f.basis;
  flipped.basis_id = "another";
  EXPECT_NO_THROW(open_adapter(file, f.layout, flipped));  // another file, same fingerprint
  SiteBasis& pair = flipped.sites["layers.1.value"];
  pair = {.a = pair.a.clone(), .b = pair.b.clone()};
  pair.a[2].neg_();
  pair.b.select(1, 2).neg_();
  EXPECT_ERROR(open_adapter(file, f.layout, flipped), "its fingerprint differs");
  flipped.sites.erase("layers.1.value");
  EXPECT_ERROR(open_adapter(file, f.layout, flipped), "expected a basis of layers.1.value");
}

TEST(MergeTest, MergedEqualsAdaptedAndComesBack) {
  const Fixture f;
  const PackedBatch batch = pack(f.sequences());
  AdaptedModel adapted = f.adapted(f.row, torch::kFloat32);
  const torch::Tensor expected = adapted.logits(batch, false).values;
  const auto zero = f.bank(torch::kFloat32, 0);
  const BaseModel merged = merge_model(f.model, *f.basis, *f.row, 0);
  OracleCase on_merged = f;
  on_merged.model = merged;
  EXPECT_LE(test::largest_error(on_merged.adapted(zero, torch::kFloat32).logits(batch, false).values, expected), 1e-5);
  EXPECT_GT(test::largest_error(f.adapted(zero, torch::kFloat32).logits(batch, false).values, expected),
            1e-2);  // control
  const BaseModel back = merge_model(merged, *f.basis, *f.row, 0, -1);
  for (const Site& site : f.layout.sites)
    EXPECT_TRUE(test::close(back.site_weight(site), f.model.site_weight(site), 1e-6));
  // A written folder loads again with the same weights.
  write_model_folder(f.folder / "merged", merged, nullptr, 0);
  EXPECT_EQ(load_base_model(f.folder / "merged", "").base_id, merged.base_id);
}

TEST(CombineTest, IsLinearInDeltaW) {
  const Fixture f;
  const auto narrow_layout = make_layout("lora_xs", {f.layout.sites[1], f.layout.sites[4]}, 2, {}, 32, "test");
  Bank narrow = make_bank(narrow_layout, 6, 1);
  narrow.values.normal_();
  const Bank sum = combine({{.bank = f.row.get(), .weight = 0.7}, {.bank = &narrow, .weight = -1.3}}, {.kind = "none"});
  const auto delta = [&](const Bank& bank, const Site& site) {
    const LayoutSegment* segment = bank.layout->find(site.name + ".r");
    if (segment == nullptr) return torch::zeros({site.out_features, site.in_features}, torch::kFloat64);
    const torch::Tensor r =
        bank.values[0].narrow(0, segment->offset, segment->numel()).view(segment->shape).to(torch::kFloat64);
    const int64_t rank = r.size(0);
    const SiteBasis& pair = f.basis->at(site.name);
    return pair.b.narrow(1, 0, rank)
               .to(torch::kFloat64)
               .matmul(r)
               .matmul(pair.a.narrow(0, 0, rank).to(torch::kFloat64)) *
           (bank.alpha(0) / static_cast<double>(rank));
  };
  for (const Site& site : f.layout.sites) {
    EXPECT_TRUE(test::close(delta(sum, site), 0.7 * delta(*f.row, site) - 1.3 * delta(narrow, site), 1e-6))
        << site.name;
  }
  EXPECT_ERROR(combine({{.bank = f.row.get(), .weight = 0.7}, {.bank = f.row.get(), .weight = 0.7}}, {}),
               "weights that sum to 1");
  EXPECT_ERROR(combine({{.bank = f.row.get(), .weight = 1}, {.bank = &narrow, .weight = 1}}, {}), "different heads");
}

TEST(CombineTest, ExpressionsAreReadWithPositions) {
  const auto terms = parse_combination("0.7*a.safetensors + 0.3 * 'b c.st' - d");
  ASSERT_EQ(terms.size(), 3U);
  EXPECT_EQ(terms[1].name, "b c.st");
  EXPECT_EQ(terms[2].weight, -1);
  EXPECT_ERROR(parse_combination("0.7*a 0.3*b"), "expected + or - at position 7");
  EXPECT_ERROR(parse_combination("x*a"), "expected a finite number before *, found \"x\" at position 1");
  EXPECT_ERROR(parse_combination(""), "expected a number or a file name");
}

/// Checked by tests/oracles/check_peft.py in transformers + PEFT, with the adapter's logits beside them.
TEST(ExportTest, WritesPeftAndMergedFoldersForTheOracle) {
  for (const std::string name : {"tiny_all_linear", "tiny_roberta", "tiny_xlm_roberta", "tiny_distilbert"}) {
    const OracleCase oracle(name);
    const std::filesystem::path out = test::oracle_folder() / "exports" / name;
    std::filesystem::remove_all(out);
    std::filesystem::create_directories(out);
    const auto bank = oracle.bank(torch::kFloat32);
    export_peft(out / "peft", oracle.model, *oracle.basis, *bank, 0);
    write_model_folder(out / "merged", merge_model(oracle.model, *oracle.basis, *bank, 0), bank.get(), 0);
    EXPECT_TRUE(std::filesystem::exists(out / "peft" / "adapter_config.json"));
    EXPECT_TRUE(std::filesystem::exists(out / "merged" / "model.safetensors"));
  }
}

TEST(LayoutTest, TargetsMatchBySuffixAndErrorsListNearNames) {
  const OracleCase oracle("tiny_paper");
  const auto select = [&](std::vector<std::string> targets) {
    return select_sites(*oracle.model.architecture, oracle.model.config, targets, "recipe.yaml");
  };
  EXPECT_EQ(select({"query", "value"}).size(), 6U);
  EXPECT_EQ(select({"output.dense"}).size(), 6U);  // attention.output.dense and output.dense
  EXPECT_EQ(select({"site:mlp_output"}).size(), 3U);
  EXPECT_EQ(select({"all-linear"}).size(), 18U);
  EXPECT_ERROR(select({"qury"}), "found \"qury\"; did you mean query?");
  EXPECT_ERROR(make_layout("lora_xs", select({"query"}), 33, {}, 32, "recipe.yaml"), "method.rank: expected 1 to 32");
}

TEST(LayoutTest, RecipesNameLayersAndRanks) {
  const OracleCase oracle("tiny_paper");
  MethodRecipe method{.rank = 4, .targets = {"query", "value", "output.dense"}, .layers = {0, 2}};
  method.rank_pattern = {{"value", 2}, {"site:layers.2.query", 8}};
  const auto layout = [&] { return recipe_layout(method, {}, oracle.model, "recipe.yaml"); };
  EXPECT_EQ(layout().sites.size(), 8U);
  EXPECT_EQ(layout().rank_of("layers.0.query"), 4);
  EXPECT_EQ(layout().rank_of("layers.2.query"), 8);
  EXPECT_EQ(layout().rank_of("layers.2.value"), 2);
  EXPECT_EQ(layout().rank_of("layers.1.value"), 0);
  EXPECT_EQ(layout().adapter_numbers, 16 * 5 + 64 + 2 * 4);
  method.rank_pattern["site:query"] = 3;
  EXPECT_ERROR(layout(), "expected one entry for layers.2.query, found site:layers.2.query and site:query");
  method.rank_pattern = {{"valeu", 2}};
  EXPECT_ERROR(layout(), "did you mean value?");
  method.rank_pattern = {{"value", 2}};
  method.basis.vectors = "middle";
  EXPECT_ERROR(layout(), "one basis per rank");
}

}  // namespace
}  // namespace loraxs
