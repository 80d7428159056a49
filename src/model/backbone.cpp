#include "model/backbone.h"

#include "model/decoder.h"
#include "model/encoder.h"

namespace loraxs {

std::unique_ptr<Backbone> make_backbone(const BaseModel& model, torch::ScalarType compute_dtype, torch::Device device) {
  if (model.architecture->kind == ModelKind::kDecoder) return std::make_unique<Decoder>(model, compute_dtype, device);
  return std::make_unique<Encoder>(model, compute_dtype, device);
}

}  // namespace loraxs
