#include "adapt/svd.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/linalg_qr.h>
#include <ATen/ops/linalg_svd.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "io/seeds.h"

namespace loraxs {
namespace {

constexpr double kResidual = 1e-9;    // of σ₁, both sides
constexpr double kTieWindow = 1e-3;   // entries this close to the largest count as equal when the sign is fixed
constexpr double kBreakdown = 1e-12;  // of ‖W‖_F: a panel this small spans nothing new
constexpr int64_t kBlock = 16;        // columns a panel: wide enough for GEMM speed, narrow enough to converge
constexpr double kCheckGrowth = 1.2;  // the small SVD is tried whenever the space has grown by this factor

/// Makes the entry of largest magnitude of each column of u positive, flipping v's column along.
void fix_signs(SingularTriples& triples) {
  const torch::Tensor magnitudes = triples.u.abs();
  const torch::Tensor largest = std::get<0>(magnitudes.max(0, /*keepdim=*/true));
  const torch::Tensor first = magnitudes.ge(largest * (1 - kTieWindow)).to(torch::kFloat64).argmax(0, /*keepdim=*/true);
  const torch::Tensor signs = torch::where(triples.u.gather(0, first).lt(0), -1.0, 1.0).to(torch::kFloat64);
  triples.u = triples.u * signs;
  triples.v = triples.v * signs;
}

void measure_residuals(const torch::Tensor& w, SingularTriples& triples) {
  const double scale = std::max(triples.s[0].item<double>(), 1e-300);
  const auto worst = [&](const torch::Tensor& difference) {
    return difference.norm(2, 0).max().item<double>() / scale;
  };
  triples.right_residual = worst(w.matmul(triples.v) - triples.u * triples.s);
  triples.left_residual = worst(w.t().matmul(triples.u) - triples.v * triples.s);
}

SingularTriples dense(const torch::Tensor& w, int64_t rank) {
  const auto [u, s, vh] = at::linalg_svd(w, /*full_matrices=*/false);
  SingularTriples triples{.u = u.narrow(1, 0, rank).contiguous(),
                          .s = s.narrow(0, 0, rank).contiguous(),
                          .v = vh.narrow(0, 0, rank).t().contiguous()};
  measure_residuals(w, triples);
  return triples;
}

/// panel − basis (basisᵀ panel), twice (once loses orthogonality by cancellation), then orthonormal columns.
/// Nothing if the panel has fewer new directions than columns.
std::optional<torch::Tensor> orthonormal_panel(torch::Tensor panel, const torch::Tensor& basis, double scale,
                                               torch::Tensor* triangle = nullptr) {
  for (int pass = 0; pass < 2 && basis.size(1) > 0; ++pass) panel = panel - basis.matmul(basis.t().matmul(panel));
  auto [q, r] = at::linalg_qr(panel);
  if (r.diagonal().abs().min().item<double>() <= kBreakdown * scale) return std::nullopt;
  if (triangle != nullptr) *triangle = r;
  // After the QR small components along the basis may be left, of the size of the panel's own cancellation.
  if (basis.size(1) > 0) q = std::get<0>(at::linalg_qr(q - basis.matmul(basis.t().matmul(q))));
  return q;
}

/// Block Golub-Kahan-Lanczos on w [m, n]: U B = W V holds exactly, the left residual comes from the next panel alone.
/// Nothing if the space would exceed `limit` columns or breaks down before both residuals are small.
std::optional<SingularTriples> krylov(const torch::Tensor& w, int64_t rank, int64_t limit, uint64_t seed) {
  const int64_t m = w.size(0), n = w.size(1);
  const double scale = w.norm().item<double>();
  torch::Tensor v_space = torch::empty({n, limit + kBlock}, w.options()),
                u_space = torch::empty({m, limit}, w.options());
  torch::Tensor b = torch::zeros({limit, limit}, w.options());  // Uᵀ W V
  torch::Tensor start = torch::empty({n, kBlock}, w.options());
  fill_normal(std::span(start.mutable_data_ptr<double>(), start.numel()), derive_seed(seed, "krylov start"), 1.0);
  v_space.narrow(1, 0, kBlock).copy_(std::get<0>(at::linalg_qr(start)));
  int64_t products = 0, next_check = 2 * rank;
  for (int64_t columns = 0; columns + kBlock <= limit;) {
    const torch::Tensor u_known = u_space.narrow(1, 0, columns);
    const torch::Tensor image = w.matmul(v_space.narrow(1, columns, kBlock));  // [m, block]
    const auto u_panel = orthonormal_panel(image, u_known, scale);
    if (!u_panel) return std::nullopt;
    u_space.narrow(1, columns, kBlock).copy_(*u_panel);
    columns += kBlock;
    b.narrow(0, 0, columns).narrow(1, columns - kBlock, kBlock).copy_(u_space.narrow(1, 0, columns).t().matmul(image));
    torch::Tensor coupling;  // [block, block]: what W ᵀ of the last U panel has beyond the V space
    const auto v_panel = orthonormal_panel(w.t().matmul(*u_panel), v_space.narrow(1, 0, columns), scale, &coupling);
    if (!v_panel) return std::nullopt;
    v_space.narrow(1, columns, kBlock).copy_(*v_panel);
    products += 2 * kBlock;
    if (columns < next_check && columns + kBlock <= limit) continue;
    next_check = static_cast<int64_t>(static_cast<double>(columns) * kCheckGrowth);
    if (columns < rank) continue;
    const auto [p, s, qh] = at::linalg_svd(b.narrow(0, 0, columns).narrow(1, 0, columns), false);
    const torch::Tensor tail = coupling.matmul(p.narrow(0, columns - kBlock, kBlock).narrow(1, 0, rank));
    if (tail.norm(2, 0).max().item<double>() > 0.3 * kResidual * s[0].item<double>()) continue;
    SingularTriples triples{.u = u_space.narrow(1, 0, columns).matmul(p.narrow(1, 0, rank)),
                            .s = s.narrow(0, 0, rank).contiguous(),
                            .v = v_space.narrow(1, 0, columns).matmul(qh.narrow(0, 0, rank).t()),
                            .products = products};
    measure_residuals(w, triples);
    if (std::max(triples.left_residual, triples.right_residual) <= kResidual) return triples;
  }
  return std::nullopt;
}

}  // namespace

SingularTriples leading_triples(const torch::Tensor& weight, int64_t rank, uint64_t seed) {
  torch::NoGradGuard no_grad;
  const torch::Tensor w = weight.to(torch::kFloat64).contiguous();
  const int64_t width = std::min(w.size(0), w.size(1));
  TORCH_CHECK(rank >= 1 && rank <= width, "leading_triples: rank ", rank, " of ", w.sizes());
  const int64_t limit = width / 2 / kBlock * kBlock;
  SingularTriples triples;
  std::optional<SingularTriples> found;
  // Below a few ranks of room the space would hit its limit anyway: go dense at once.
  if (limit >= 3 * rank) {
    const bool wide = w.size(1) > w.size(0);
    found = krylov(wide ? w.t().contiguous() : w, rank, limit, seed);
    if (found && wide) {
      std::swap(found->u, found->v);
      std::swap(found->left_residual, found->right_residual);
    }
  }
  triples = found ? *found : dense(w, rank);
  fix_signs(triples);
  return triples;
}

SingularTriples all_triples(const torch::Tensor& weight) {
  torch::NoGradGuard no_grad;
  const torch::Tensor w = weight.to(torch::kFloat64).contiguous();
  SingularTriples triples = dense(w, std::min(w.size(0), w.size(1)));
  fix_signs(triples);
  return triples;
}

}  // namespace loraxs
