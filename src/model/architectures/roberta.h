// model/architectures/roberta.h: RoBERTa (Liu et al., arXiv 1907.11692) and XLM-RoBERTa (arXiv 1911.02116).
#pragma once
#include "model/architecture.h"

namespace loraxs {

Architecture roberta();
Architecture xlm_roberta();

}  // namespace loraxs
