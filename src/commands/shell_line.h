// commands/shell_line.h: a command line as text that a shell reads as the same words.
#pragma once
#include <string>
#include <vector>

namespace loraxs {

/// Words with single blanks between them, each quoted where a shell would read it otherwise. What a terminal must not
/// see raw (control characters, bytes that are no UTF-8) stands as $'…', which bash, zsh and ksh read.
std::string shell_line(const std::vector<std::string>& words);

}  // namespace loraxs
