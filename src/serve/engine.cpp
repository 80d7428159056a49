#include "serve/engine.h"

#include "model/architecture.h"
#include "serve/decoder_engine.h"
#include "serve/encoder_engine.h"

namespace loraxs {

std::unique_ptr<Answering> start_engine(const EngineOptions& options, const Settings& settings) {
  const ParsedConfig parsed = read_model_config(options.model.model, settings.reading);
  if (parsed.architecture->kind == ModelKind::kEncoder) return std::make_unique<EncoderEngine>(options, settings);
  return std::make_unique<DecoderEngine>(options, settings);
}

}  // namespace loraxs
