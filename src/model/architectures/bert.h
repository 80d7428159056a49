// model/architectures/bert.h: BERT (Devlin et al. 2019), as Hugging Face's BertModel computes it.
#pragma once
#include "model/architecture.h"

namespace loraxs {

Architecture bert();

}  // namespace loraxs
