// tests/support/oracle.h: cases that tests/oracles/make_encoders.py and make_decoders.py wrote, as banks and batches.
#pragma once
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "adapt/adapted_model.h"
#include "io/safetensors.h"
#include "model/base_model.h"
#include "support/oracle_folder.h"

namespace loraxs::test {

struct OracleCase {
  BaseModel model;
  Safetensors file;
  std::shared_ptr<Basis> basis;
  Layout layout;
  double alpha = 0;

  torch::Tensor tensor(const std::string& name) const { return view_tensor(file.at(name)).clone(); }

  explicit OracleCase(const std::string& name, const std::string& file_name = "case.safetensors")
      : model(load_base_model(oracle_folder() / name, "")), file(read_safetensors(oracle_folder() / name / file_name)) {
    const int64_t rank = std::stoll(file.metadata.at("rank"));
    alpha = std::stod(file.metadata.at("alpha"));
    basis = std::make_shared<Basis>();
    basis->recipe.rank = rank;
    std::vector<Site> sites;
    for (const Site& site : list_sites(*model.architecture, model.config)) {
      if (!file.tensors.contains("r." + site.name)) continue;
      sites.push_back(site);
      basis->sites[site.name] = {.a = tensor("basis." + site.name + ".a"), .b = tensor("basis." + site.name + ".b")};
    }
    HeadLayout head;  // none for decoders
    if (file.tensors.contains("head.classifier.weight")) {
      const int64_t outputs = tensor("head.classifier.weight").size(0);
      head = make_head("full", outputs, outputs == 1, *model.architecture, "test");
    }
    layout = make_layout("lora_xs", sites, rank, head, model.config.hidden_size, "test");
  }

  /// A bank of one with the case's R (times `r_factor`, transposed if asked: negative controls) and head.
  std::shared_ptr<Bank> bank(torch::ScalarType dtype, double r_factor = 1, bool transposed = false) const {
    auto bank = std::make_shared<Bank>(make_bank(layout, alpha, 1, dtype));
    for (const LayoutSegment& segment : layout.segments) {
      torch::Tensor value =
          tensor(segment.head ? segment.name : "r." + segment.name.substr(0, segment.name.size() - 2));
      if (!segment.head) value = (transposed ? value.t() : value) * r_factor;
      bank->values.select(0, 0).narrow(0, segment.offset, segment.numel()).copy_(value.reshape(-1));
    }
    if (layout.head.outputs > 1) {
      std::vector<std::string> labels;
      for (int64_t i = 0; i < layout.head.outputs; ++i) labels.push_back("label" + std::to_string(i));
      bank->set_labels(0, labels);
    }
    bank->gradients = torch::zeros_like(bank->values);
    return bank;
  }

  std::vector<Sequence> sequences(int64_t slot = 0) const {
    const bool language = file.tensors.contains("is_target");
    const torch::Tensor ids = tensor("input_ids"), starts = tensor("starts"),
                        marks = tensor(language ? "is_target" : "token_type_ids");
    std::vector<Sequence> result;
    for (int64_t s = 0; s + 1 < starts.numel(); ++s) {
      Sequence sequence{.slot = slot, .example = static_cast<uint64_t>(s)};
      if (!language) sequence.target = tensor("labels")[s].item<float>();
      for (int64_t i = starts[s].item<int32_t>(); i < starts[s + 1].item<int32_t>(); ++i) {
        sequence.input_ids.push_back(ids[i].item<int32_t>());
        if (language) {
          sequence.is_target.push_back(static_cast<uint8_t>(marks[i].item<int32_t>()));
        } else {
          sequence.token_type_ids.push_back(marks[i].item<int32_t>());
        }
      }
      result.push_back(std::move(sequence));
    }
    return result;
  }

  AdaptedModel adapted(std::shared_ptr<Bank> bank, torch::ScalarType dtype) const {
    BaseModel quiet = model;
    quiet.config.disable_dropout();
    return AdaptedModel(quiet, basis, AdapterSet::of_bank(std::move(bank)), dtype);
  }
};

}  // namespace loraxs::test
