#include "api/text_model.h"

#include <unistd.h>

#include <algorithm>

#include "adapt/base_bytes.h"
#include "api/opened_adapter.h"
#include "data/chat_turns.h"
#include "io/error.h"
#include "ops/int8_product.h"

namespace loraxs {
namespace {

/// Slots that requests may be using stay what they are.
void check_beside(const AdapterSet& running, const AdapterSet& next) {
  const auto row_of = [](const AdapterSet& set, size_t slot) {
    return std::pair(set.banks[set.slots[slot].bank].get(), set.slots[slot].row);
  };
  TORCH_CHECK(next.slots.size() >= running.slots.size(), "TextModel::use: fewer slots while requests are under way");
  for (size_t slot = 0; slot < running.slots.size(); ++slot) {
    TORCH_CHECK(row_of(running, slot) == row_of(next, slot), "TextModel::use: slot ", slot,
                " would change while requests are under way");
  }
}

/// Whether a base prepared on `there` serves adapters on `next`: equal ids are equal tensors, and no adapters read
/// none.
bool same_basis(const Basis* there, const Basis* next) {
  if (there == next || next == nullptr) return true;
  return there != nullptr && !next->basis_id.empty() && there->basis_id == next->basis_id;
}

bool multiplies_integers_fast() { return int8::kernel().name != std::string("plain"); }

/// What `precision: auto` may be where answers are all that is asked for.
bool takes_int8(const TextModelOptions& options, const BaseModel& base) {
  if (options.precision == "int8") return true;
  const auto quantised = [](const auto& tensor) { return block_type_info(tensor.second.type).block_elements > 1; };
  return options.precision == "auto" && options.prefers_int8 && options.memory == WeightMemory::kNormal &&
         options.device.is_cpu() && multiplies_integers_fast() &&
         std::any_of(base.blocks.begin(), base.blocks.end(), quantised);
}

}  // namespace

TextModel::TextModel(const TextModelOptions& options, const Settings& settings)
    : base_(open_model(options.model, settings)),
      may_leave_int8_(options.precision != "int8"),
      compute_dtype_(takes_int8(options, base_) ? torch::kFloat32 : resolve_precision(options.precision)),
      memory_(takes_int8(options, base_) ? WeightMemory::kInt8 : options.memory),
      device_(options.device),
      context_(base_.config.max_growing_length()),
      cache_bytes_(options.cache_bytes) {
  if (base_.architecture->kind != ModelKind::kDecoder) {
    throw Error(concat(options.model.string(), ": expected a model that generates text, found ",
                       base_.config.model_type, ", an encoder"));
  }
  if (options.precision == "int8" && !options.device.is_cpu()) {
    throw Error(concat("precision int8: expected device cpu, found ", options.device.str(), "; take bfloat16 there"));
  }
  if (options.precision == "int8" && !multiplies_integers_fast() && settings.log) {
    settings.log(LogLevel::kWarning,
                 "precision int8: this CPU has no AVX2, so integers are multiplied one by one; "
                 "float32 is faster here");
  }
  if (options.context < 0 || options.context > context_) {
    throw Error(concat(options.model.string(), ": expected a context of at most ", context_, " tokens, found ",
                       options.context));
  }
  if (options.context > 0) context_ = options.context;
  if (options.memory_gb > 0) {
    constexpr double kGiB = 1024.0 * 1024.0 * 1024.0, kMostGiB = 1e6;  // bytes fit an integer
    const int64_t base = resident_base_bytes(base_, compute_dtype_, memory_, /*directions=*/1);
    const int64_t one = KvCache::bytes_per_block(base_.config, compute_dtype_) * KvCache::blocks_for(context_);
    const int64_t left = static_cast<int64_t>(std::min(options.memory_gb, kMostGiB) * kGiB) - base;
    if (left < one) {
      throw Error(concat("--memory-gb: expected at least ", static_cast<double>(base + one) / kGiB, " for ",
                         options.model.string(), " and a context of ", context_, " tokens, found ", options.memory_gb,
                         "; -c N shortens the context, --memory tight keeps weights as they are stored"));
    }
    cache_bytes_ = left;
  }
  tokenizer_ = tokenizer_of(base_);
  encoder_ = std::make_unique<TaskEncoder>(*tokenizer_, options.model);
}

int64_t TextModel::requests_under_way() const {
  if (scheduler_) return scheduler_->num_requests();
  return beam_scheduler_ ? beam_scheduler_->num_requests() : 0;
}

void TextModel::abandon_requests() {
  scheduler_.reset();
  beam_scheduler_.reset();
}

void TextModel::use(std::shared_ptr<const Basis> basis, AdapterSet adapters) {
  for (std::shared_ptr<Bank>& bank : adapters.banks) bank = bank_on(bank, device_);
  Reservation wanted = Reservation::of(adapters.banks);
  const bool busy = requests_under_way() > 0;
  if (!busy && may_leave_int8_ && memory_ == WeightMemory::kInt8 && !wanted.residual.empty()) {
    memory_ = WeightMemory::kNormal;
  }
  if (busy) check_beside(model_->adapters(), adapters);
  const bool on_basis = model_ && same_basis(model_->prepared()->basis(), basis.get());
  if (busy && !on_basis) {
    throw Error(
        "adapters: expected the basis of the requests under way, found another; adapters on different bases "
        "never share a batch");
  }
  if (on_basis && model_->prepared()->options().memory == memory_ &&
      (busy || model_->prepared()->reservation().covers(wanted))) {
    return model_->use(std::move(adapters));
  }
  const PrepareOptions options{.dtype = compute_dtype_, .device = device_, .memory = memory_};
  PreparedModel::check(wanted, options);  // before what is there is let go
  scheduler_.reset();
  beam_scheduler_.reset();
  cached_.reset();
  model_.reset();  // one copy of the prepared weights at a time
  auto prepared = std::make_shared<PreparedModel>(base_, std::move(basis), std::move(wanted), options);
  model_ = std::make_unique<AdaptedModel>(std::move(prepared), std::move(adapters));
}

void TextModel::new_cache(SchedulerOptions& options, int64_t sequences, int64_t least, bool ignore_eos) {
  const int64_t one = KvCache::blocks_for(context_);
  const int64_t affordable = cache_bytes_ / KvCache::bytes_per_block(base_.config, compute_dtype_);
  scheduler_.reset();
  beam_scheduler_.reset();
  cached_.reset();
  cached_ = std::make_unique<CachedModel>(*model_, std::max(least * one, std::min(sequences * one, affordable)));
  options.context = context_;
  options.max_sequences = sequences;
  options.tokens_per_step = std::max(options.tokens_per_step, sequences);
  if (!ignore_eos) options.end_ids = tokenizer_->eos_ids();
}

Scheduler& TextModel::scheduler(int64_t sequences, bool ignore_eos, SchedulerOptions options) {
  new_cache(options, sequences, /*least=*/1, ignore_eos);
  scheduler_ = std::make_unique<Scheduler>(*cached_, std::move(options));
  return *scheduler_;
}

BeamScheduler& TextModel::beam_scheduler(int64_t searches, int64_t beams, bool ignore_eos) {
  const int64_t each = KvCache::blocks_for(context_) * KvCache::bytes_per_block(base_.config, compute_dtype_);
  const int64_t memory = sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE), most = std::max<int64_t>(1, memory / each);
  if (beams > most) {
    throw Error(concat("beams: expected at most ", most, ", whose caches of ", context_, " tokens fit into the ",
                       memory >> 30, " GB of this machine, found ", beams, "; a shorter context takes less"));
  }
  SchedulerOptions options;
  new_cache(options, searches * beams, beams, ignore_eos);
  beam_scheduler_ = std::make_unique<BeamScheduler>(*cached_, std::move(options));
  return *beam_scheduler_;
}

std::vector<int32_t> TextModel::encode(const std::string& prompt) const {
  return tokenizer_->encode_text(prompt, {.add_special = true, .parse_special = true});
}

std::vector<int32_t> TextModel::encode(const std::vector<ChatTurn>& turns) const {
  Example conversation{.messages = nlohmann::ordered_json::array()};
  for (const ChatTurn& turn : turns) conversation.messages.push_back(text_turn(turn.role, turn.content));
  return encode(conversation);
}

std::vector<int32_t> TextModel::encode(const Example& conversation) const {
  if (encoder_->chat_template() == nullptr) {
    throw Error(concat(base_.folder.string(),
                       ": expected a chat template, found none; without one the model only continues raw text"));
  }
  return encoder_->prompt(conversation);
}

}  // namespace loraxs
