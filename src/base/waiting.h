// How OpenMP's threads wait for work: a variable that libgomp reads when it is loaded. Change it
// here.
//
// A thread that spins while it waits (300,000 rounds, libgomp's own choice) holds its core while
// another program wants it. With LibTorch's hundreds of short parallel loops a step, most of the
// time then goes into waiting for a thread that is not running: a training step took ten times as
// long beside one busy thread. So it spins for some 30 microseconds, then sleeps. Fewer rounds make
// small steps slower on an idle machine (1.4 times at 300), more make all of them slower on a busy
// one.
#pragma once

namespace scorejet::base {

constexpr const char* kWaitingVariable = "GOMP_SPINCOUNT";
constexpr const char* kWaitingRounds = "850";
constexpr const char* kWaitingPolicy = "OMP_WAIT_POLICY";  // a user who set this one has chosen too

}  // namespace scorejet::base
