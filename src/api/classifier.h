// api/classifier.h: a classifier that is a model folder by itself: merged by loraxs, or anyone's
// ForSequenceClassification.
#pragma once
#include <filesystem>

#include "api/opened_adapter.h"

namespace loraxs {

/// The model with the head that its folder brings, as an adapter without sites: what takes an adapter with a task head
/// takes this too. Classes are called as its config.json says (id2label). Throws Error for a folder without a head, for
/// a head of another kind (of tokens, of several labels at once), and where weights and config disagree.
OpenedAdapter open_classifier(const std::filesystem::path& folder, const OpenOptions& options,
                              const Settings& settings);

}  // namespace loraxs
