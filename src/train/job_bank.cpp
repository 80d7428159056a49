#include "train/job_bank.h"

#include "adapt/fresh_head.h"

namespace loraxs {

std::shared_ptr<Bank> make_job_bank(const TrainSetup& setup, const std::vector<Job>& jobs) {
  const MethodRecipe& method = setup.recipe.method;
  const Layout& layout = setup.layout;
  const auto row_type = setup.dtype == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  auto bank = std::make_shared<Bank>(make_bank(layout, method.alpha, static_cast<int64_t>(jobs.size()), row_type));
  bank->trains_sites = method.train_sites;
  bank->dropout = method.dropout;
  const BaseModel& model = setup.model;
  const std::optional<HeadDense> dense = pretrained_dense(model);
  for (size_t j = 0; j < jobs.size(); ++j) {
    const MethodStart start{.job_seed = jobs[j].key,
                            .alpha = method.alpha,
                            .init_std = method.train_sites ? method.init_std : 0.0,
                            .init = method.init,
                            .d_initial = method.d_initial,
                            .basis = setup.basis.get(),
                            .model = &model};
    initialize_row(*bank, static_cast<int64_t>(j), start, model.config.initializer_range, dense);
    if (setup.start) {
      bank->values.select(0, static_cast<int64_t>(j))
          .narrow(0, 0, setup.start->numbers.numel())
          .copy_(setup.start->numbers_at(jobs[j].learning_rate));
    }
  }
  bank->values = bank->values.to(setup.device);
  bank->gradients = torch::zeros_like(bank->values);
  return bank;
}

}  // namespace loraxs
