// api/studies/personal_users.h: users made of real texts: each with a labelling of its own, or with a speaker's words.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "data/task.h"

namespace loraxs {

/// How many examples a user has, and how often it sees them.
struct UserSize {
  int64_t examples = 0, epochs = 1;
};

struct UserPlan {
  int64_t users = 0, others = 0;
  int64_t test = 0;             // examples that each user is scored on, which nobody trains on
  std::vector<UserSize> sizes;  // of users, in turn
  UserSize other;               // of all others
};

struct PersonalUser {
  std::string name;  // "u012-topic-war", "u013-topic-war-turned", "romeo"
  UserSize size;
  std::vector<Example> train, test;
};

/// `others` are users of the same kind whose mean the users may start from.
struct PersonalUsers {
  Task task;  // what all have in common, without examples
  std::vector<PersonalUser> users, others;
};

/// Users who label the same texts each by a rule of its own: of topic, genre, length, polarity, time or what is named
/// in the text; every second one turns the labels round. Half of a user's examples are of each label. Texts are those
/// of `task`, both of a pair each by itself; training texts are drawn from its training data, the others from its
/// validation data. Everything follows from the texts and the plan. Throws Error with `where` where no rule finds
/// enough of both labels.
PersonalUsers labelling_users(const Task& task, const UserPlan& plan, const std::string& where);

/// Speakers of a play ("ROMEO:" on a line of its own, what is said, an empty line), those who say most first: an
/// example is what is said at a time, without the name. Throws Error where there are too few.
PersonalUsers speaking_users(const Task& task, const UserPlan& plan, const std::string& where);

}  // namespace loraxs
