#include "text/sentencepiece_model.h"

#include <sentencepiece_processor.h>

#include "io/error.h"
#include "io/mapped_file.h"
#include "text/sentencepiece_proto.h"
#include "text/utf8.h"

// The library's own switch, in none of its installed headers; weak, as not every version has it.
namespace sentencepiece::logging {
__attribute__((weak)) void SetMinLogLevel(int level);
}

namespace loraxs {
namespace {

constexpr std::string_view kMark = "▁";
constexpr int32_t kFirstPiece = 3;  // of the model's own numbers: <unk> <s> </s> come before

/// As SentencePieceProcessor::Decode: ▁ is a blank but for the first, bytes form characters one by one.
class SurfaceStep final : public TokenStep {
 public:
  SurfaceStep(std::string unknown, bool drop_first, bool drop_all)
      : unknown_(std::move(unknown)), drop_first_(drop_first), drop_all_(drop_all) {}

  void finish(const Sink& sink) override {
    // Every byte that is not part of a character is one U+FFFD.
    std::string text;
    for (size_t at = 0; at < bytes_.size();) {
      const std::string_view character = std::string_view(bytes_).substr(at, char_bytes(bytes_[at]));
      const bool valid = valid_utf8(character) == character;
      text += valid ? character : "\xEF\xBF\xBD";
      at += valid ? character.size() : 1;
    }
    bytes_.clear();
    if (!text.empty()) emit(text, sink);
  }

 private:
  void push_token(std::string_view token, const Sink& sink) override {
    if (const int byte = byte_of_token(token); byte >= 0) {
      bytes_ += static_cast<char>(byte);
      return;
    }
    finish(sink);
    if (token == unknown_) {
      emit(" ⁇ ", sink);
      return;
    }
    if (!begun_ && drop_first_ && token.starts_with(kMark)) {
      token.remove_prefix(kMark.size());
      begun_ = !drop_all_;
    }
    std::string text;
    for (size_t at = 0; at < token.size();) {
      const std::string_view character = token.substr(at, char_bytes(token[at]));
      text += character == kMark ? " " : character;
      at += character.size();
    }
    emit(text, sink);
  }
  void emit(const std::string& text, const Sink& sink) {
    begun_ |= !text.empty();
    sink({text});
  }
  std::string unknown_, bytes_;
  bool drop_first_, drop_all_, begun_ = false;
};

}  // namespace

SentencePieceModel::SentencePieceModel(const std::filesystem::path& path, Numbering numbering)
    : where_(path.string()),
      processor_(std::make_unique<sentencepiece::SentencePieceProcessor>()),
      numbering_(numbering) {
  const auto file = MappedFile::open(path);
  constexpr size_t kMostBytes = 64 << 20;
  if (file->text().size() > kMostBytes) {
    throw Error(concat(where_, ": expected a SentencePiece model of at most ", kMostBytes, " bytes, found ",
                       file->text().size()));
  }
  constexpr int kFatal = 3;  // else a model whose self test fails fills stderr; the status says it too
  if (sentencepiece::logging::SetMinLogLevel != nullptr) sentencepiece::logging::SetMinLogLevel(kFatal);
  const SentencePieceFlags flags = check_sentencepiece_proto(file->text(), where_);
  guarded("a SentencePiece model", [&] { return processor_->LoadFromSerializedProto(file->text()); });
  model_digest_ = sha256_hex(file->bytes());
  drop_first_blank_ = flags.add_dummy_prefix || flags.remove_extra_whitespaces;
  drop_all_first_blanks_ = flags.remove_extra_whitespaces;
  const int32_t count = processor_->GetPieceSize();
  if (numbering == Numbering::kFairseq) {
    if (processor_->unk_id() != 0 || count <= kFirstPiece) {
      throw Error(concat(where_, ": expected <unk>, <s> and </s> as its first pieces, found another model"));
    }
    tokens_ = {"<s>", "<pad>", "</s>", "<unk>"};
  }
  for (int32_t id = numbering == Numbering::kFairseq ? kFirstPiece : 0; id < count; ++id) {
    tokens_.push_back(processor_->IdToPiece(id));
  }
  if (numbering == Numbering::kFairseq) tokens_.emplace_back("<mask>");
  for (size_t id = 0; id < tokens_.size(); ++id) ids_.emplace(tokens_[id], static_cast<int32_t>(id));
}

SentencePieceModel::~SentencePieceModel() = default;

void SentencePieceModel::guarded(const char* expected, const std::function<sentencepiece::util::Status()>& call) const {
  std::string reason;
  try {
    const sentencepiece::util::Status status = call();
    if (status.ok()) return;
    reason = status.ToString();
  } catch (const std::exception& error) {  // Darts::Exception and what its containers throw
    reason = error.what();
  }
  throw Error(concat(where_, ": expected ", expected, ", found something else (", reason, ")"));
}

void SentencePieceModel::append_ids(std::string_view text, std::vector<int32_t>& ids) const {
  std::vector<int> found;
  guarded("a model that can write every text", [&] { return processor_->Encode(text, &found); });
  for (const int id : found) {
    if (numbering_ == Numbering::kOwn) {
      ids.push_back(id);
    } else {
      constexpr int32_t kUnknown = 3;
      ids.push_back(id == processor_->unk_id() ? kUnknown : id + 1);
    }
  }
}

std::optional<int32_t> SentencePieceModel::id_of(std::string_view token) const {
  const auto found = ids_.find(token);
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

const std::string* SentencePieceModel::token_of(int32_t id) const {
  return id >= 0 && static_cast<size_t>(id) < tokens_.size() ? &tokens_[id] : nullptr;
}

void SentencePieceModel::add_to(Sha256& digest) const {
  digest.update(concat("SentencePiece ", model_digest_, ' ', static_cast<int>(numbering_), '\n'));
}

std::vector<AddedToken> SentencePieceModel::special_tokens() const {
  std::vector<AddedToken> tokens;
  if (numbering_ == Numbering::kFairseq) {
    for (int32_t id = 0; id <= kFirstPiece; ++id) tokens.push_back({.content = tokens_[id], .id = id, .special = true});
    const auto mask = static_cast<int32_t>(tokens_.size() - 1);
    tokens.push_back({.content = "<mask>", .id = mask, .special = true, .lstrip = true});
    return tokens;
  }
  for (int32_t id = 0; id < processor_->GetPieceSize(); ++id) {
    if (processor_->IsControl(id) || processor_->IsUnknown(id)) {
      tokens.push_back({.content = tokens_[id], .id = id, .special = true});
    }
  }
  return tokens;
}

std::optional<int32_t> SentencePieceModel::bos_id() const {
  return processor_->bos_id() < 0 ? std::nullopt : id_of(processor_->IdToPiece(processor_->bos_id()));
}

std::optional<int32_t> SentencePieceModel::eos_id() const {
  return processor_->eos_id() < 0 ? std::nullopt : id_of(processor_->IdToPiece(processor_->eos_id()));
}

DecodeSteps SentencePieceModel::decoder() const {
  const std::string unknown = processor_->unk_id() >= 0 ? processor_->IdToPiece(processor_->unk_id()) : "";
  return {{.make = [=, first = drop_first_blank_, all = drop_all_first_blanks_] {
    return std::make_unique<SurfaceStep>(unknown, first, all);
  }}};
}

}  // namespace loraxs
