# cmake --install: program, library, headers and the package that find_package(loraxs) reads. No path of this build is in it.
# The component `bundle` (not installed by default) copies the system libraries whose versions differ between distributions.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set_target_properties(loraxs_shared PROPERTIES EXPORT_NAME loraxs INSTALL_RPATH "$ORIGIN:$ORIGIN/loraxs")
target_include_directories(loraxs_shared INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_compile_features(loraxs_shared INTERFACE cxx_std_20)
install(TARGETS loraxs RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS loraxs_shared EXPORT loraxs LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES LICENSE README.md DESTINATION ${CMAKE_INSTALL_DOCDIR})

# Headers say "adapt/basis.h" here; installed ones say "loraxs/adapt/basis.h", so that a user's own data/task.h stays his.
install(CODE "set(source ${CMAKE_CURRENT_SOURCE_DIR}/src)
set(include \${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_INCLUDEDIR}/loraxs)
set(private cli commands python serve/http/connection.h serve/http/wire.h)")
install(SCRIPT cmake/InstallHeaders.cmake)

set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/loraxs)
string(REGEX MATCH "^[0-9]+[.][0-9]+" torch_minor "${Torch_VERSION}")
configure_package_config_file(cmake/loraxsConfig.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/loraxsConfig.cmake
                              INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/loraxsConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/loraxsConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/loraxsConfigVersion.cmake
        DESTINATION ${package_folder})
install(EXPORT loraxs NAMESPACE loraxs:: FILE loraxsTargets.cmake DESTINATION ${package_folder})

install(CODE "file(GET_RUNTIME_DEPENDENCIES LIBRARIES $<TARGET_FILE:loraxs_shared> RESOLVED_DEPENDENCIES_VAR found
  UNRESOLVED_DEPENDENCIES_VAR ignored PRE_INCLUDE_REGEXES \"libicu\" \"liblmdb\" \"libyaml-cpp\" \"libpcre2\" \"libsentencepiece\" \"libprometheus-cpp-core\" PRE_EXCLUDE_REGEXES \".*\")
file(INSTALL \${found} DESTINATION \${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_LIBDIR}/loraxs FOLLOW_SYMLINK_CHAIN)"
        COMPONENT bundle EXCLUDE_FROM_ALL)
