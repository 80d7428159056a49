#include "text/sentencepiece_model.h"

#include <sentencepiece_processor.h>

#include "io/error.h"
#include "io/mapped_file.h"
#include "text/utf8.h"

namespace loraxs {
namespace {

constexpr std::string_view kMark = "▁";
constexpr int32_t kFirstPiece = 3;  // of the model's own numbers: <unk> <s> </s> come before

/// One field of a protocol buffer message, by number; reads no further than the message.
struct ProtoReader {
  std::string_view bytes;

  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64 && !bytes.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(bytes.front());
      bytes.remove_prefix(1);
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) break;
    }
    return value;
  }
  std::string_view take(uint64_t count) {
    const std::string_view part = bytes.substr(0, count);
    bytes.remove_prefix(part.size());
    return part;
  }
  /// Calls visit(number, value, part): value of a varint, part of a length-delimited field.
  template <typename Visit>
  void for_each_field(const Visit& visit) {
    while (!bytes.empty()) {
      const uint64_t key = varint();
      enum { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };
      switch (key & 7) {
        case kVarint:
          visit(key >> 3, varint(), std::string_view());
          break;
        case kBytes:
          visit(key >> 3, 0, take(varint()));
          break;
        case kFixed64:
          take(8);
          break;
        case kFixed32:
          take(4);
          break;
        default:
          return;
      }
    }
  }
};

struct NormalizerFlags {
  bool add_dummy_prefix = true, remove_extra_whitespaces = true;
};

/// ModelProto.normalizer_spec, which libsentencepiece's installed header does not show.
NormalizerFlags normalizer_flags(std::string_view model) {
  NormalizerFlags flags;
  ProtoReader{model}.for_each_field([&](uint64_t field, uint64_t, std::string_view part) {
    constexpr uint64_t kNormalizerSpec = 3, kAddDummyPrefix = 3, kRemoveExtraWhitespaces = 4;
    if (field != kNormalizerSpec) return;
    ProtoReader{part}.for_each_field([&](uint64_t flag, uint64_t value, std::string_view) {
      if (flag == kAddDummyPrefix) flags.add_dummy_prefix = value != 0;
      if (flag == kRemoveExtraWhitespaces) flags.remove_extra_whitespaces = value != 0;
    });
  });
  return flags;
}

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
    : processor_(std::make_unique<sentencepiece::SentencePieceProcessor>()), numbering_(numbering) {
  const auto file = MappedFile::open(path);
  const auto status = processor_->LoadFromSerializedProto({file->text().data(), file->text().size()});
  if (!status.ok()) {
    throw Error(
        concat(path.string(), ": expected a SentencePiece model, found something else (", status.ToString(), ")"));
  }
  model_digest_ = sha256_hex(file->bytes());
  const NormalizerFlags flags = normalizer_flags(file->text());
  drop_first_blank_ = flags.add_dummy_prefix || flags.remove_extra_whitespaces;
  drop_all_first_blanks_ = flags.remove_extra_whitespaces;
  const int32_t count = processor_->GetPieceSize();
  if (numbering == Numbering::kFairseq) {
    if (processor_->unk_id() != 0 || count <= kFirstPiece) {
      throw Error(concat(path.string(), ": expected <unk>, <s> and </s> as its first pieces, found another model"));
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

void SentencePieceModel::append_ids(std::string_view text, std::vector<int32_t>& ids) const {
  std::vector<int> found;
  const auto status = processor_->Encode({text.data(), text.size()}, &found);
  if (!status.ok()) throw std::runtime_error("sentencepiece: " + status.ToString());
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
  return {[=, first = drop_first_blank_, all = drop_all_first_blanks_] {
    return std::make_unique<SurfaceStep>(unknown, first, all);
  }};
}

}  // namespace loraxs
