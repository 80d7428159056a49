// Adapters and merged models as GGUF: read back here, run in llama.cpp by tests/oracles/check_llama_cpp.py.
#include <gtest/gtest.h>

#include "adapt/adapter_file.h"
#include "adapt/exchange/gguf_adapter.h"
#include "adapt/head_tensors.h"
#include "adapt/merge.h"
#include "adapt/merged_gguf.h"
#include "api/adapter_tools.h"
#include "io/gguf.h"
#include "model/gguf_model.h"
#include "ops/block_quantize.h"
#include "support/close.h"
#include "support/expect_error.h"
#include "support/oracle.h"
#include "support/random_tensor.h"
#include "support/temporary_folder.h"

namespace loraxs {
namespace {

/// A GGUF model with a large R on every projection.
struct ExportCase {
  BaseModel model;
  Basis basis;
  Bank bank;

  explicit ExportCase(const std::filesystem::path& path, int64_t rank = 4) : model(load_base_model(path, "")) {
    const std::vector<Site> sites = list_sites(*model.architecture, model.config);
    basis = compute_basis(sites, [&](const Site& site) { return model.site_weight(site); }, model.base_id,
                          {.rank = rank}, {});
    bank = make_bank(make_layout("lora_xs", sites, rank, {}, model.config.hidden_size, "test"), 3, 1);
    bank.values.copy_(0.3 * test::normal(bank.values.sizes(), 17));
  }
};

std::filesystem::path words() { return test::oracle_folder() / "exchange/words.gguf"; }

TEST(QuantizeTest, Q8BlocksAreThoseOfTheGgufPackage) {
  const Safetensors file = read_safetensors(test::oracle_folder() / "exchange/q8_0.safetensors");
  const torch::Tensor values = view_tensor(file.at("values"));
  const std::vector<std::byte> blocks = quantize_blocks(BlockType::kQ8_0, values);
  const std::span<const std::byte> expected = file.at("blocks").bytes;
  ASSERT_EQ(blocks.size(), expected.size());
  EXPECT_TRUE(std::equal(blocks.begin(), blocks.end(), expected.begin()));
  const std::vector<std::byte> other = quantize_blocks(BlockType::kQ8_0, values * 1.01);  // control
  EXPECT_FALSE(std::equal(other.begin(), other.end(), expected.begin()));
}

TEST(GgufAdapterTest, HoldsTheUpdateInTheFilesOrderOfRows) {
  const ExportCase f(words());
  const test::TemporaryFolder folder;
  export_gguf_adapter(folder / "a.gguf", f.model, f.basis, f.bank, 0);
  const Gguf file = read_gguf(folder / "a.gguf");
  EXPECT_EQ(file.text("general.type"), "adapter");
  EXPECT_EQ(file.text("adapter.type"), "lora");
  EXPECT_EQ(file.number("adapter.lora.alpha"), 3);
  EXPECT_EQ(file.tensors.size(), 2 * f.bank.layout->sites.size());
  const auto matrix = [&](const std::string& name) {
    const GgufTensor& tensor = file.tensor(name);
    return dequantize({.type = tensor.type, .shape = tensor.shape, .bytes = tensor.bytes});
  };
  for (const Site& site : f.bank.layout->sites) {
    const std::string name = gguf_weight_names(*f.model.architecture, f.model.config).at(site.name + ".weight");
    const torch::Tensor b = matrix(name + ".lora_b"), a = matrix(name + ".lora_a");
    const torch::Tensor r = segment_value(f.bank, 0, *f.bank.layout->find(site.name + ".r"));
    const SiteBasis& pair = f.basis.at(site.name);
    const torch::Tensor delta = pair.b.matmul(r).matmul(pair.a);
    const int64_t heads = f.model.stored(site.name + ".weight").interleaved_heads;
    EXPECT_EQ(heads > 0, site.module == "query" || site.module == "key");
    EXPECT_TRUE(test::close(b.matmul(a), to_stored_rows(delta, heads), 1e-6)) << site.name;
    if (heads > 0) {  // control
      EXPECT_FALSE(test::close(b.matmul(a), delta, 0.1)) << site.name;
    }
  }
}

TEST(GgufAdapterTest, WhatAGgufAdapterCannotHoldIsRefused) {
  const test::OracleCase encoder("tiny_paper");
  const test::TemporaryFolder folder;
  EXPECT_ERROR(export_gguf_adapter(folder / "a.gguf", encoder.model, *encoder.basis, *encoder.bank(torch::kFloat32), 0),
               "expected a family that GGUF files hold, found bert");
  ExportCase f(words());
  Layout with_head = *f.bank.layout;
  with_head.head.kind = "full";
  f.bank.layout = std::make_shared<const Layout>(with_head);
  EXPECT_ERROR(export_gguf_adapter(folder / "a.gguf", f.model, f.basis, f.bank, 0), "without a task head");
  EXPECT_FALSE(std::filesystem::exists(folder / "a.gguf"));
}

TEST(MergedGgufTest, HoldsTheMergedWeightsAndAllMetadata) {
  const ExportCase f(words());
  const test::TemporaryFolder folder;
  const BaseModel merged = merge_model(f.model, f.basis, f.bank, 0);
  const Gguf source = read_gguf(words());
  for (const auto& [type, tolerance] : {std::pair{std::optional<BlockType>(), 1e-7},
                                        {BlockType::kF16, 1e-3},
                                        {BlockType::kBF16, 5e-3},
                                        {BlockType::kQ8_0, 1e-2}}) {
    const std::filesystem::path path = folder / concat("merged", type ? block_type_info(*type).name : "", ".gguf");
    write_merged_gguf(path, f.model, f.basis, f.bank, 0, type);
    const Gguf file = read_gguf(path);
    EXPECT_EQ(file.metadata.size(), source.metadata.size());
    for (const auto& [key, value] : source.metadata) {
      const auto& other = file.metadata.find(key)->second;
      EXPECT_TRUE(std::equal(value.encoded.begin(), value.encoded.end(), other.encoded.begin(), other.encoded.end()))
          << key;
    }
    const BaseModel read = read_gguf_model(path);
    for (const auto& [name, block] : f.model.blocks) {
      const bool adapted = name.ends_with(".weight") && f.bank.layout->rank_of(name.substr(0, name.size() - 7)) > 0;
      const torch::Tensor expected = merged.weight(name);
      EXPECT_TRUE(test::close(read.weight(name), expected, tolerance)) << name;
      if (adapted) {  // control
        EXPECT_FALSE(test::close(read.weight(name), f.model.weight(name), 0.05)) << name;
      }
      if (!type && !adapted) {
        EXPECT_TRUE(std::equal(block.bytes.begin(), block.bytes.end(), read.stored(name).bytes.begin()));
      }
    }
  }
}

TEST(MergedGgufTest, QuantisedBasesAreUnpackedOnRequestOnly) {
  const ExportCase f(test::oracle_folder() / "gguf/mixed.gguf");
  const test::TemporaryFolder folder;
  EXPECT_ERROR(write_merged_gguf(folder / "m.gguf", f.model, f.basis, f.bank, 0, {}), "to merge into, found Q");
  EXPECT_FALSE(std::filesystem::exists(folder / "m.gguf"));
  write_merged_gguf(folder / "m.gguf", f.model, f.basis, f.bank, 0, BlockType::kF32);
  const BaseModel merged = merge_model(f.model, f.basis, f.bank, 0), read = read_gguf_model(folder / "m.gguf");
  for (const auto& [name, block] : read.blocks) EXPECT_TRUE(test::close(read.weight(name), merged.weight(name), 1e-7));
}

/// Run by tests/oracles/check_llama_cpp.py.
TEST(MergedGgufTest, WritesFilesForLlamaCpp) {
  const ExportCase f(words());
  const std::filesystem::path out = test::oracle_folder() / "exchange/llama_cpp";
  std::filesystem::remove_all(out);
  std::filesystem::create_directories(out);
  Basis basis = f.basis;
  write_basis(out / "basis.safetensors", basis);
  write_adapter(out / "adapter.safetensors", f.bank, 0, f.model, basis, {});
  export_gguf_adapter(out / "adapter.gguf", f.model, basis, f.bank, 0);
  write_merged_gguf(out / "merged.gguf", f.model, basis, f.bank, 0, {});
  write_merged_gguf(out / "merged-q8_0.gguf", f.model, basis, f.bank, 0, BlockType::kQ8_0);
  EXPECT_TRUE(std::filesystem::exists(out / "merged.gguf"));
}

TEST(MergeToTest, FoldersAndFilesInEveryDtype) {
  const test::OracleCase oracle("tiny_all_linear");
  const test::TemporaryFolder folder;
  const OpenedAdapter opened{.model = oracle.model, .basis = oracle.basis, .bank = oracle.bank(torch::kFloat32)};
  for (const auto& [dtype, tolerance] : {std::pair{"float32", 1e-5}, {"float16", 5e-3}, {"bfloat16", 5e-2}}) {
    const MergeCheck check = merge_to(opened, folder / dtype, dtype);
    EXPECT_LE(check.outputs.difference, tolerance) << dtype;
    EXPECT_GT(check.outputs.effect, 0.1);
    EXPECT_EQ(read_json(folder / dtype / "config.json").at("dtype"), dtype);
    EXPECT_EQ(torch::toString(load_base_model(folder / dtype, "").weight("layers.0.query.weight").scalar_type()),
              std::string(dtype == std::string("float32")   ? "Float"
                          : dtype == std::string("float16") ? "Half"
                                                            : "BFloat16"));
  }
  EXPECT_ERROR(merge_to(opened, folder / "q", "q8_0"), "blocks are for GGUF bases");
  EXPECT_ERROR(merge_to(opened, folder / "x.gguf", ""), "--out: expected a folder as the base");
  ExportCase f(words());
  const OpenedAdapter language{
      .model = f.model, .basis = std::make_shared<Basis>(f.basis), .bank = std::make_shared<Bank>(f.bank)};
  EXPECT_ERROR(merge_to(language, folder / "folder", ""), "--out: expected a .gguf file as the base");
  const MergeCheck check = merge_to(language, folder / "m.gguf", "");
  EXPECT_LE(check.outputs.difference, 1e-5);
  EXPECT_GT(check.outputs.effect, 0.1);
}

}  // namespace
}  // namespace loraxs
