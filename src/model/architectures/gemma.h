// model/architectures/gemma.h: Gemma (Gemma Team, arXiv 2403.08295): GeGLU, scaled word embeddings, norms around one.
#pragma once
#include "model/architecture.h"

namespace loraxs {

Architecture gemma();

}  // namespace loraxs
