#include "report/axis.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <initializer_list>
#include <utility>

namespace loraxs {
namespace {

/// 1, 2 or 5 times a power of ten, for about `count` ticks over `range`.
double tick_step(double range, int count) {
  const double rough = range / count, power = std::pow(10, std::floor(std::log10(rough)));
  for (const double factor : {1.0, 2.0, 5.0, 10.0}) {
    if (factor * power >= rough * (1 - 1e-9)) {  // 0.08 / 4 is a little more than 0.02
      return factor * power;
    }
  }
  return 10 * power;
}

/// A multiple of `step` with the decimals that tell it from its neighbours: "20,000", "0.05"; powers of ten where those
/// would be long.
std::string tick_text(double value, double step) {
  char text[64];
  if (step < 1e-5 || std::abs(value) >= 1e9) {
    std::snprintf(text, sizeof text, "%.3g", value);
    return text;
  }
  const int decimals = std::max(0, -static_cast<int>(std::floor(std::log10(step) + 1e-9)));
  std::snprintf(text, sizeof text, "%.*f", decimals, value == 0 ? 0 : value);
  std::string result = text;
  const size_t point = std::min(result.find('.'), result.size()), sign = value < 0 ? 1 : 0;
  for (size_t at = point; at > sign + 3; at -= 3) {
    result.insert(at - 3, ",");
  }
  return result;
}

/// "0.01", "200", "10K", "1M": the texts of a logarithmic axis stand close.
std::string short_tick(double value) {
  constexpr std::pair<double, const char*> kUnits[] = {{1e9, "G"}, {1e6, "M"}, {1e3, "K"}, {0, ""}};
  char text[32] = "";
  for (const auto& [unit, name] : kUnits) {
    if (value < unit) {
      continue;
    }
    std::snprintf(text, sizeof text, "%.3g%s", unit > 0 ? value / unit : value, name);
    break;
  }
  return text;
}

/// The factors of a power of ten that get a tick, where `decades` of them are shown.
std::vector<double> factors_for(double decades, int count) {
  if (3 * decades <= 1.5 * count) {
    return {1, 2, 5};
  }
  return {1};
}

}  // namespace

Axis::Axis(double low, double high, double room, bool logarithmic) : logarithmic_(logarithmic) {
  low_ = scaled(low), high_ = scaled(high);
  if (logarithmic && high_ - low_ < 1) {
    const double free = (1 - (high_ - low_)) / 2;
    low_ -= free, high_ += free;
    return;
  }
  if (high_ > low_) {
    const double free = room * (high_ - low_);
    low_ -= free, high_ += free;
    return;
  }
  const double around = room > 0 ? std::max(0.01, std::abs(high_) * 0.1) : 0.5;
  low_ -= around, high_ += around;
}

double Axis::scaled(double value) const { return logarithmic_ ? std::log10(value) : value; }

double Axis::place(double value) const { return (scaled(value) - low_) / (high_ - low_); }

std::vector<Tick> Axis::ticks(int count, double least) const {
  std::vector<Tick> result;
  if (logarithmic_) {
    const auto first = static_cast<int>(std::floor(low_)), last = static_cast<int>(std::ceil(high_));
    const int stride = std::max(1, (last - first) / std::max(1, 2 * count));
    const std::vector<double> factors = factors_for(high_ - low_, count);
    result.reserve(factors.size() * static_cast<size_t>(last - first + 1));
    for (int power = first; power <= last; power += stride) {
      for (const double factor : factors) {
        const double value = factor * std::pow(10, power), at = std::log10(value);
        if (at >= low_ && at <= high_) {
          result.push_back({value, short_tick(value)});
        }
      }
    }
    return result;
  }
  const double step = std::max(least, tick_step(high_ - low_, count));
  const auto first = static_cast<int64_t>(std::ceil(low_ / step)),
             last = static_cast<int64_t>(std::floor(high_ / step));
  result.reserve(static_cast<size_t>(std::max<int64_t>(0, last - first + 1)));
  for (int64_t i = first; i <= last; ++i) {
    const double value = static_cast<double>(i) * step;
    result.push_back({value, tick_text(value, step)});
  }
  return result;
}

}  // namespace loraxs
