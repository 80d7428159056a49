// model/architectures/distilbert.h: DistilBERT (Sanh et al., arXiv 1910.01108).
#pragma once
#include "model/architecture.h"

namespace loraxs {

Architecture distilbert();

}  // namespace loraxs
