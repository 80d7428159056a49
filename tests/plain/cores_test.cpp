#include "cli/cores.h"

#include <gtest/gtest.h>

#include <fstream>

#include "support/temporary_folder.h"

namespace loraxs {
namespace {

/// A root folder with the files of a kernel.
class CoresTest : public testing::Test {
 protected:
  void put(const std::filesystem::path& path, const std::string& text) const {
    std::filesystem::create_directories((root_.path() / path).parent_path());
    std::ofstream(root_.path() / path) << text;
  }
  std::optional<double> quota() const { return cpu_quota(root_.path()); }

  void second_version(const std::string& group, const std::string& top = "/") const {
    put("proc/self/cgroup", "0::" + group + "\n");
    put("proc/self/mountinfo", "23 30 0:21 / /proc rw,nosuid - proc proc rw\n30 23 0:26 " + top +
                                   " /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n");
  }
  void first_version(const std::string& group, const std::string& top) const {
    put("proc/self/cgroup", "12:memory:/else\n4:cpu,cpuacct:" + group + "\n1:name=systemd:/else\n0::/\n");
    put("proc/self/mountinfo", "33 32 0:29 " + top +
                                   " /sys/fs/cgroup/cpu,cpuacct rw,nosuid master:13 - cgroup cgroup rw,cpu,cpuacct\n"
                                   "34 32 0:30 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n");
  }

 private:
  test::TemporaryFolder root_;
};

TEST_F(CoresTest, NothingThereIsNoLimit) {
  EXPECT_EQ(quota(), std::nullopt);
  second_version("/");
  EXPECT_EQ(quota(), std::nullopt);
  for (const char* text : {"max 100000\n", "", "100000", "-1 100000", "100000 0", "many 100000", "0 100000"}) {
    put("sys/fs/cgroup/cpu.max", text);
    EXPECT_EQ(quota(), std::nullopt) << text;
  }
  put("proc/self/mountinfo", "no mount\n1 2 3 4 - \n");
  EXPECT_EQ(quota(), std::nullopt);
}

TEST_F(CoresTest, SecondVersion) {
  second_version("/");  // a container's own view: its group is mounted
  put("sys/fs/cgroup/cpu.max", "150000 100000\n");
  EXPECT_EQ(quota(), 1.5);
  second_version("/../other");  // a group outside of what is mounted
  EXPECT_EQ(quota(), 1.5);
}

TEST_F(CoresTest, TheLeastOfNestedGroupsCounts) {
  second_version("/kubepods/pod7/box");
  put("sys/fs/cgroup/kubepods/cpu.max", "800000 100000");
  put("sys/fs/cgroup/kubepods/pod7/cpu.max", "50000 20000");
  put("sys/fs/cgroup/kubepods/pod7/box/cpu.max", "max 100000");
  put("sys/fs/cgroup/kubepods/pod8/cpu.max", "1000 100000");  // somebody else's
  EXPECT_EQ(quota(), 2.5);
  put("sys/fs/cgroup/kubepods/pod7/box/cpu.max", "25000 100000");
  EXPECT_EQ(quota(), 0.25);
  second_version("/kubepods/pod7/gone");
  EXPECT_EQ(quota(), 2.5);
}

TEST_F(CoresTest, FirstVersionWithThePartThatIsMounted) {
  const std::string cpu = "sys/fs/cgroup/cpu,cpuacct/";
  first_version("/docker/12/job", "/docker/12");
  put(cpu + "cpu.cfs_quota_us", "300000\n");
  put(cpu + "cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(quota(), 3);
  put(cpu + "job/cpu.cfs_quota_us", "-1\n");
  put(cpu + "job/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(quota(), 3);
  put(cpu + "job/cpu.cfs_quota_us", "120000\n");
  EXPECT_EQ(quota(), 1.2);
  first_version("/docker/12", "/");  // a host's view
  put(cpu + "docker/12/cpu.cfs_quota_us", "50000\n");
  put(cpu + "docker/12/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(quota(), 0.5);
}

TEST_F(CoresTest, BothVersionsAndNamesWithBlanks) {
  put("proc/self/cgroup", "3:cpu:/a b\n0::/x\n");
  put("proc/self/mountinfo",
      "33 32 0:29 / /my\\040groups/cpu rw - cgroup cgroup rw,cpu\n34 32 0:30 / /unified rw - cgroup2 none rw\n");
  put("my groups/cpu/a b/cpu.cfs_quota_us", "400000");
  put("my groups/cpu/a b/cpu.cfs_period_us", "100000");
  EXPECT_EQ(quota(), 4);
  put("unified/x/cpu.max", "200000 100000");
  EXPECT_EQ(quota(), 2);
}

TEST_F(CoresTest, SharesOfACoreAreRoundedUp) {
  EXPECT_EQ((Cores{.affinity = 8}.allowed()), 8);
  EXPECT_EQ((Cores{.affinity = 8, .quota = 1.5}.allowed()), 2);
  EXPECT_EQ((Cores{.affinity = 8, .quota = 2}.allowed()), 2);
  EXPECT_EQ((Cores{.affinity = 8, .quota = 0.1}.allowed()), 1);
  EXPECT_EQ((Cores{.affinity = 2, .quota = 1e18}.allowed()), 2);
  EXPECT_GE(cores_of_process().affinity, 1);
}

}  // namespace
}  // namespace loraxs
