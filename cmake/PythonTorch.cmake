# LibTorch of the Python that builds the module: the one that will import it.
find_package(Python 3.10 REQUIRED COMPONENTS Interpreter Development.Module)
if(NOT Torch_DIR)
  execute_process(COMMAND ${Python_EXECUTABLE} -c "import torch; print(torch.utils.cmake_prefix_path)" OUTPUT_STRIP_TRAILING_WHITESPACE
                  OUTPUT_VARIABLE torch_prefix COMMAND_ERROR_IS_FATAL ANY)
  set(Torch_DIR ${torch_prefix}/Torch)
endif()
