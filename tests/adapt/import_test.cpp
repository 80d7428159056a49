// Checkpoints of the paper's reference and LoRAs of PEFT, as tests/oracles/make_exchange.py made them, read as rows.
#include "adapt/exchange/import.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <fstream>
#include <functional>

#include "adapt/exchange/peft.h"
#include "adapt/head_tensors.h"
#include "adapt/subspace.h"
#include "adapt/tensor_file.h"
#include "api/adapter_tools.h"
#include "api/importing.h"
#include "support/close.h"
#include "support/expect_error.h"
#include "support/oracle.h"
#include "support/temporary_folder.h"

namespace loraxs {
namespace {

using test::OracleCase;

std::filesystem::path exchange(const std::string& name) { return test::oracle_folder() / "exchange" / name; }

const std::vector<std::string> kLabels = {"no", "maybe", "yes"};

PeftAdapter read(const std::filesystem::path& folder, const BaseModel& model) {
  return read_peft(folder, *model.architecture, model.config);
}

/// Logits of every row that the case asks for, with the bank of one plugged in.
torch::Tensor logits_of(const OracleCase& oracle, const Basis& basis, const Bank& bank) {
  AdaptedModel model(oracle.model, std::make_shared<Basis>(basis), AdapterSet::of_bank(std::make_shared<Bank>(bank)),
                     torch::kFloat32);
  const bool decoder = oracle.model.architecture->kind == ModelKind::kDecoder;
  const PackedBatch batch = pack(oracle.sequences(), decoder ? Ask::kAll : Ask::kLoss);
  torch::NoGradGuard no_grad;
  return decoder ? model.token_logits(batch) : model.logits(batch, false).values;
}

torch::Tensor expected_of(const std::string& folder, const std::string& name = "logits") {
  return view_tensor(read_safetensors(exchange(folder) / "expected.safetensors").at(name)).clone();
}

/// Checked by tests/oracles/check_exchange.py in transformers + PEFT, with the oracle's logits beside them.
TEST(ExportTest, WritesDecoderFoldersForTheOracle) {
  const OracleCase oracle("tiny_llama");
  const std::filesystem::path out = exchange("made");
  std::filesystem::remove_all(out);
  std::filesystem::create_directories(out);
  const auto bank = oracle.bank(torch::kFloat32);
  export_peft(out / "peft", oracle.model, *oracle.basis, *bank, 0);
  export_reference(out / "reference", oracle.model, *oracle.basis, *bank, 0);
  const OpenedAdapter opened{.model = oracle.model, .basis = oracle.basis, .bank = bank};
  for (const char* dtype : {"float32", "float16", "bfloat16"}) merge_to(opened, out / dtype, dtype);
  EXPECT_TRUE(std::filesystem::exists(out / "bfloat16/model.safetensors"));
}

TEST(ExportTest, MixedRanksHaveNoPlaceInTheReferencesLayout) {
  const OracleCase oracle("tiny_llama");
  const test::TemporaryFolder out;
  Bank mixed =
      make_bank(make_layout("lora_xs", {oracle.layout.sites[0], oracle.layout.sites[1]}, {2, 3}, {}, 48, "test"), 1, 1);
  EXPECT_ERROR(export_reference(out / "mixed", oracle.model, *oracle.basis, mixed, 0),
               "the reference's layout has one rank");
  EXPECT_FALSE(std::filesystem::exists(out / "mixed"));
}

class ReferenceTest : public testing::TestWithParam<const char*> {};

TEST_P(ReferenceTest, ComputesWhatTheReferenceComputes) {
  const OracleCase oracle(GetParam());
  const std::string folder = std::string("reference_") + GetParam();
  const ImportedCheckpoint imported =
      import_checkpoint(read(exchange(folder) / "ft", oracle.model), oracle.model, kLabels);
  EXPECT_EQ(imported.basis.recipe.variant, "imported_svd");
  const torch::Tensor expected = expected_of(folder);
  EXPECT_LE(test::largest_error(logits_of(oracle, imported.basis, imported.bank), expected), 1e-5);
  Bank turned = imported.bank;  // controls: R transposed, R = 0, A and B as a plain LoRA would take them
  turned.values = turned.values.clone();
  const auto each_r = [&](const std::function<void(torch::Tensor)>& change) {
    for (const LayoutSegment& segment : turned.layout.segments) {
      if (!segment.head) change(segment_value(turned, 0, segment));
    }
    return test::largest_error(logits_of(oracle, imported.basis, turned), expected);
  };
  EXPECT_GT(each_r([](torch::Tensor r) { r.copy_(r.t().clone()); }), 1e-2);
  EXPECT_GT(each_r([](torch::Tensor r) { r.zero_(); }), 1e-2);
  EXPECT_GT(each_r([](torch::Tensor r) { r.copy_(torch::eye(r.size(0))); }), 1e-2);
}

TEST_P(ReferenceTest, ExportedAndImportedAgainItIsTheSame) {
  const OracleCase oracle(GetParam());
  const test::TemporaryFolder folder;
  const PeftAdapter original = read(exchange(std::string("reference_") + GetParam()) / "ft", oracle.model);
  const ImportedCheckpoint first = import_checkpoint(original, oracle.model, kLabels);
  export_reference(folder / "again", oracle.model, first.basis, first.bank, 0);
  EXPECT_TRUE(std::filesystem::exists(folder / "again/reconstr_config.json"));
  const PeftAdapter again = read(folder / "again/ft", oracle.model);
  ASSERT_EQ(again.modules.size(), original.modules.size());
  for (size_t i = 0; i < again.modules.size(); ++i) {
    EXPECT_EQ(again.modules[i].site.name, original.modules[i].site.name);
    EXPECT_EQ(again.modules[i].scale, original.modules[i].scale);
    EXPECT_TRUE(again.modules[i].a.equal(original.modules[i].a));
    EXPECT_TRUE(again.modules[i].b.equal(original.modules[i].b));
    EXPECT_TRUE(again.modules[i].r.equal(original.modules[i].r));
  }
  const ImportedCheckpoint second = import_checkpoint(again, oracle.model, kLabels);
  EXPECT_TRUE(second.bank.layout == first.bank.layout);
  EXPECT_TRUE(second.bank.values.equal(first.bank.values));
  // The tensors are also those of the file, name by name.
  const Safetensors written = read_safetensors(folder / "again/ft/adapter_model.safetensors");
  const Safetensors source = read_safetensors(original.folder / "adapter_model.safetensors");
  ASSERT_EQ(written.tensors.size(), source.tensors.size());
  for (const auto& [name, view] : source.tensors)
    EXPECT_TRUE(view_tensor(written.at(name)).equal(view_tensor(view))) << name;
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, ReferenceTest, testing::Values("tiny_roberta", "tiny_llama"));

/// A copy of a PEFT folder with its tensors and config changed.
struct Changed {
  test::TemporaryFolder folder;
  std::map<std::string, torch::Tensor> tensors;
  nlohmann::json config;

  explicit Changed(const std::filesystem::path& source) : config(read_json(source / "adapter_config.json")) {
    for (const auto& [name, view] : read_safetensors(source / "adapter_model.safetensors").tensors) {
      tensors[name] = view_tensor(view).clone();
    }
  }
  /// Every name with `from` written as `to`.
  void rename(const std::string& from, const std::string& to) {
    std::map<std::string, torch::Tensor> renamed;
    for (const auto& [old, tensor] : tensors) {
      std::string name = old;
      if (const size_t at = name.find(from); at != std::string::npos) name.replace(at, from.size(), to);
      renamed[name] = tensor;
    }
    tensors = renamed;
  }
  const std::filesystem::path& write() const {
    TensorFile file;
    for (const auto& [name, tensor] : tensors) file.add(name, tensor);
    file.write(folder / "adapter_model.safetensors", {});
    std::ofstream(folder / "adapter_config.json") << config;
    return folder.path();
  }
};

TEST(ImportTest, AllSpellingsOfTheKeysAreRead) {
  const OracleCase oracle("tiny_roberta");
  const std::filesystem::path source = exchange("reference_tiny_roberta/ft");
  const torch::Tensor expected = import_checkpoint(read(source, oracle.model), oracle.model, kLabels).bank.values;
  for (const std::string spelling : {".default_lora_latent_mapping", ".lora_latent_mapping"}) {
    Changed changed(source);
    changed.rename("_lora_latent_mapping", spelling);
    changed.rename("lora_A.weight", "lora_A.default.weight");
    changed.rename("classifier.", "classifier.modules_to_save.default.");
    EXPECT_TRUE(
        import_checkpoint(read(changed.write(), oracle.model), oracle.model, kLabels).bank.values.equal(expected));
  }
  Changed bare(source);  // an encoder without its prefix
  bare.rename("model.roberta.", "model.");
  EXPECT_TRUE(import_checkpoint(read(bare.write(), oracle.model), oracle.model, kLabels).bank.values.equal(expected));
}

TEST(ImportTest, RandomFactorsAreValidAndMarked) {
  const OracleCase oracle("tiny_roberta");
  Changed changed(exchange("reference_tiny_roberta/ft"));
  for (auto& [name, tensor] : changed.tensors) {
    if (name.ends_with("lora_B.weight")) tensor.mul_(1.5);
  }
  const PeftAdapter adapter = read(changed.write(), oracle.model);
  EXPECT_EQ(import_checkpoint(adapter, oracle.model, kLabels).basis.recipe.variant, "imported_random");
}

TEST(ImportTest, WhatIsMissingUnknownOrMisshapenIsListed) {
  const OracleCase oracle("tiny_roberta");
  const std::string query = "base_model.model.roberta.encoder.layer.1.attention.self.query";
  const auto expect = [&](const std::function<void(Changed&)>& change, const std::vector<std::string>& parts) {
    Changed changed(exchange("reference_tiny_roberta/ft"));
    change(changed);
    const auto folder = changed.write();
    for (const std::string& part : parts) EXPECT_ERROR(read(folder, oracle.model), part);
  };
  expect([&](Changed& c) { c.tensors.erase(query + ".lora_B.weight"); },
         {"missing: roberta.encoder.layer.1.attention.self.query.lora_B.weight"});
  expect([&](Changed& c) { c.tensors.erase(query + "_lora_latent_mapping.weight"); },
         {"query_lora_latent_mapping.weight"});
  expect([&](Changed& c) { std::erase_if(c.tensors, [&](const auto& t) { return t.first.starts_with(query); }); },
         {"layer.1.attention.self.query (a target module of the config)"});
  expect([&](Changed& c) { c.tensors["base_model.model.roberta.extra"] = torch::ones({2}); },
         {"unknown: base_model.model.roberta.extra"});
  expect(
      [&](Changed& c) {
        c.tensors[query + "_lora_latent_mapping.weight"] = torch::ones({5, 5});
      },
      {"misshapen:", "[5, 5] instead of [6, 6]"});
  expect([&](Changed& c) { c.tensors[query + ".lora_A.weight"] = torch::ones({6, 41}); }, {"instead of [rank, 40]"});
  expect([&](Changed& c) { c.tensors[query + ".lora_A.weight"][0][0] = NAN; }, {"not finite:"});
  expect([&](Changed& c) { c.rename("layer.1.", "layer.7."); },
         {"not in this model:", "layer.7.attention.output.dense", "more"});
  expect([&](Changed& c) { c.rename("roberta.encoder.layer.1.attention.self.query", "classifier.dense"); },
         {"outside of the layers", "merge_and_unload()", "classifier.dense"});
  expect(
      [&](Changed& c) {
        std::erase_if(c.tensors, [](const auto& t) {
          return t.first.find("lora_A") != std::string::npos || t.first.find("lora_B") != std::string::npos;
        });
      },
      {"R means nothing without the basis it was trained with"});
  expect([&](Changed& c) { c.tensors.erase("base_model.model.classifier.out_proj.bias"); },
         {"missing: classifier.out_proj.weight and .bias"});
  expect([&](Changed& c) { c.config["use_dora"] = true; }, {"use_dora: expected false"});
  expect([&](Changed& c) { c.config["peft_type"] = "IA3"; }, {"peft_type: expected LORA, found \"IA3\""});
  EXPECT_ERROR(read("/nowhere", oracle.model), "expected an adapter folder of PEFT");
  Changed truncated(exchange("reference_tiny_roberta/ft"));
  std::filesystem::resize_file(truncated.write() / "adapter_model.safetensors", 1000);
  EXPECT_ERROR(read(truncated.folder.path(), oracle.model), "adapter_model.safetensors");
  const PeftAdapter lora = read(exchange("loras/lora0"), oracle.model);
  EXPECT_ERROR(import_checkpoint(lora, oracle.model, kLabels), "expected R beside A and B, found a plain LoRA");
  EXPECT_ERROR(import_lora(read(exchange("reference_tiny_roberta/ft"), oracle.model), oracle.model, kLabels),
               "expected a plain LoRA, found R");
  EXPECT_ERROR(
      import_checkpoint(read(exchange("reference_tiny_roberta/ft"), oracle.model), oracle.model, {"yes", "no"}),
      "the names of 3 classes, found 2");
}

TEST(LoraImportTest, ComputesWhatPeftComputes) {
  const OracleCase oracle("tiny_roberta");
  for (const std::string name : {"loras/lora0", "stabilised", "patterned"}) {
    SCOPED_TRACE(name);
    const PeftAdapter lora = read(exchange(name), oracle.model);
    Bank bank = import_lora(lora, oracle.model, kLabels);
    EXPECT_EQ(bank.layout.method, "lora");
    const torch::Tensor expected = expected_of(name);
    EXPECT_LE(test::largest_error(logits_of(oracle, {}, bank), expected), 1e-5);
    bank.alpha *= 2;  // control
    EXPECT_GT(test::largest_error(logits_of(oracle, {}, bank), expected), 1e-2);
  }
}

TEST(LoraImportTest, ExportedAgainItIsTheSame) {
  const OracleCase oracle("tiny_roberta");
  const test::TemporaryFolder folder;
  const PeftAdapter original = read(exchange("loras/lora1"), oracle.model);
  export_peft(folder / "again", oracle.model, {}, import_lora(original, oracle.model, kLabels), 0);
  const PeftAdapter again = read(folder / "again", oracle.model);
  ASSERT_EQ(again.modules.size(), original.modules.size());
  for (size_t i = 0; i < again.modules.size(); ++i) {
    EXPECT_EQ(again.modules[i].scale, original.modules[i].scale);
    EXPECT_TRUE(again.modules[i].a.equal(original.modules[i].a));
    EXPECT_TRUE(again.modules[i].b.equal(original.modules[i].b));
  }
}

Basis basis_of(const OracleCase& oracle, const PeftAdapter& adapter, int64_t rank) {
  std::vector<Site> sites;
  for (const PeftModule& module : adapter.modules) sites.push_back(module.site);
  return compute_basis(sites, [&](const Site& site) { return oracle.model.site_weight(site); }, oracle.model.base_id,
                       {.rank = rank}, {});
}

TEST(ProjectedImportTest, AtFullRankNothingIsLost) {
  const OracleCase oracle("tiny_roberta");
  for (const std::string name : {"loras/lora0", "stabilised"}) {
    SCOPED_TRACE(name);
    const PeftAdapter lora = read(exchange(name), oracle.model);
    const Basis basis = basis_of(oracle, lora, 40);  // the smaller width of every module
    const ProjectedAdapter projected = import_projected(lora, oracle.model, basis, kLabels);
    // query, value and attention.output are 40 x 40; output.dense is 64 -> 40, of which 40 directions remain.
    for (const auto& [site, loss] : projected.loss.modules) {
      if (site.ends_with("mlp_output"))
        EXPECT_GT(loss, 0.1) << site;
      else
        EXPECT_LE(loss, 1e-6) << site;
    }
  }
  // Without the wide module the logits are PEFT's.
  PeftAdapter lora = read(exchange("stabilised"), oracle.model);
  const PackedBatch batch = pack(oracle.sequences());
  const Basis basis = basis_of(oracle, lora, 40);
  ProjectedAdapter projected = import_projected(lora, oracle.model, basis, kLabels);
  const torch::Tensor expected = expected_of("stabilised");
  EXPECT_GT(test::largest_error(logits_of(oracle, basis, projected.bank), expected), 1e-4);  // mlp_output lost
  // Factors of its own kind for that module: the LoRA's own span.
  Basis wide = basis;
  for (const PeftModule& module : lora.modules) {
    if (!module.site.name.ends_with("mlp_output")) continue;
    SiteBasis& pair = wide.sites.at(module.site.name);
    pair = {.a = pair.a.clone(), .b = pair.b};
    pair.a.narrow(0, 37, 3).copy_(module.a);
  }
  projected = import_projected(lora, oracle.model, wide, kLabels);
  EXPECT_LE(projected.loss.whole, 1e-5);
  EXPECT_LE(test::largest_error(logits_of(oracle, wide, projected.bank), expected), 1e-4);
}

TEST(ProjectedImportTest, ResidualsAreThoseOfTheFormedUpdates) {
  const OracleCase oracle("tiny_roberta");
  const PeftAdapter lora = read(exchange("loras/lora1"), oracle.model);
  for (const int64_t rank : {4, 16}) {
    const Basis basis = basis_of(oracle, lora, rank);
    const ProjectedAdapter projected = import_projected(lora, oracle.model, basis, kLabels);
    double lost = 0, whole = 0;
    for (size_t i = 0; i < lora.modules.size(); ++i) {
      const PeftModule& module = lora.modules[i];
      const torch::Tensor delta = 2 * module.b.to(torch::kFloat64).matmul(module.a.to(torch::kFloat64));  // 6 / 3
      const torch::Tensor nearest = project_on(basis.at(module.site.name), delta);
      const double residual = ((delta - nearest).norm() / delta.norm()).item<double>();
      EXPECT_NEAR(projected.loss.modules[i].second, residual, 1e-6);
      lost += (delta - nearest).square().sum().item<double>();
      whole += delta.square().sum().item<double>();
      const torch::Tensor r = segment_value(projected.bank, 0, *projected.bank.layout.find(module.site.name + ".r"));
      EXPECT_TRUE(test::close(r, nearest_r(basis.at(module.site.name), delta), 1e-6));
    }
    EXPECT_NEAR(projected.loss.whole, std::sqrt(lost / whole), 1e-6);
    EXPECT_GT(projected.loss.whole, 0.3);  // a random LoRA is far from any small basis
  }
}

TEST(ImportFolderTest, EveryAdapterByItselfInAnyNumberOfThreads) {
  const OracleCase oracle("tiny_roberta");
  const test::TemporaryFolder folder;
  const Settings settings{.cache = folder / "cache"};
  std::filesystem::create_directory(folder / "in");
  for (const auto& entry : std::filesystem::directory_iterator(exchange("loras"))) {
    std::filesystem::copy(entry.path(), folder.path() / "in" / entry.path().filename());
  }
  std::filesystem::copy(exchange("reference_tiny_roberta/ft"), folder / "in/xs");
  std::filesystem::copy(exchange("loras/lora0"), folder / "in/broken");
  std::filesystem::resize_file(folder / "in/broken/adapter_model.safetensors", 500);
  const ImportSettings import{.rank = 8, .threshold = 1, .labels = kLabels};
  const int threads = at::get_num_threads();
  std::map<std::string, std::string> first;
  for (const int count : {1, 2}) {
    at::set_num_threads(count);
    const std::filesystem::path out = folder / concat("out", count);
    const std::vector<ImportedAdapter> results = import_folder(oracle.model, folder / "in", out, import, settings);
    ASSERT_EQ(results.size(), 6U);
    for (const ImportedAdapter& result : results) {
      const std::string name = result.from.filename();
      EXPECT_EQ(result.error.empty(), name != "broken") << result.error;
      EXPECT_EQ(std::filesystem::exists(result.out), name != "broken");
      if (name == "broken") continue;
      EXPECT_EQ(result.lora_xs, name == "xs");
      const std::string bytes(MappedFile::open(result.out)->text());
      if (count == 1) first[name] = bytes;
      EXPECT_TRUE(bytes == first[name]) << name;
    }
  }
  at::set_num_threads(threads);
  // One of them opens on the model and is what it is alone.
  const OpenedAdapter opened = open_adapter_on_model(oracle.model, folder / "out1/lora2.safetensors", {}, settings);
  const PeftAdapter lora = read(exchange("loras/lora2"), oracle.model);
  EXPECT_TRUE(
      test::close(opened.bank->values, import_projected(lora, oracle.model, *opened.basis, kLabels).bank.values, 1e-6));
  const ImportSettings strict{.rank = 8, .labels = kLabels};
  EXPECT_ERROR(import_adapter(oracle.model, folder / "in/lora0", folder / "strict.safetensors", strict, settings),
               "expected a relative residual of at most 0.01 on the basis of rank 8");
  EXPECT_FALSE(std::filesystem::exists(folder / "strict.safetensors"));
}

TEST(ImportFolderTest, ExactImportsShareTheirBasisAndFindIt) {
  const OracleCase oracle("tiny_roberta");
  const test::TemporaryFolder folder;
  const Settings settings{.cache = folder / "cache"};
  for (const char* name : {"in/one", "in/two"}) {
    std::filesystem::create_directories(folder / "in");
    std::filesystem::copy(exchange("reference_tiny_roberta/ft"), folder / name);
  }
  const auto results = import_folder(oracle.model, folder / "in", folder / "out", {.labels = kLabels}, settings);
  ASSERT_EQ(results.size(), 2U);
  for (const ImportedAdapter& result : results) EXPECT_EQ(result.error, "");
  EXPECT_EQ(results[0].basis_file, results[1].basis_file);
  EXPECT_EQ(adapters_in(folder / "out").size(), 2U);  // the basis is none
  const OpenedAdapter opened = open_adapter_on_model(oracle.model, results[0].out, {}, settings);
  EXPECT_LE(test::largest_error(logits_of(oracle, *opened.basis, *opened.bank), expected_of("reference_tiny_roberta")),
            1e-5);
  std::filesystem::remove(results[0].basis_file);
  EXPECT_ERROR(open_adapter_on_model(oracle.model, results[0].out, {}, settings),
               "cannot be computed from the weights");
}

}  // namespace
}  // namespace loraxs
