// model/architectures/bert.h: BERT (Devlin et al., arXiv 1810.04805).
#pragma once
#include "model/architecture.h"

namespace loraxs {

Architecture bert();

/// What RoBERTa shares: the keys of config.json, and the names of embeddings and layers.
ModelConfig parse_bert_config(Fields& fields);
std::vector<std::pair<std::string, std::string>> bert_weight_names();

}  // namespace loraxs
