#include "drivers/speaker/speaker.hpp"

#include <cerrno>
#include <chrono>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include <alsa/asoundlib.h>
#include <fmt/format.h>
#include <sndfile.h>

#include "drivers/actor.hpp"
#include "drivers/texts.hpp"

namespace hamlet::drivers::speaker {
namespace {

using namespace std::chrono_literals;

constexpr unsigned kLatencyUs = 200'000;
constexpr Millis kStuck = 2s;           // the card takes nothing for so long
constexpr std::int64_t kLongest = 600;  // seconds of a recording that are played
constexpr sf_count_t kFrames = 2048;    // at a time

struct Message {
  std::string file;
  std::int64_t times = 0;  ///< 0: until it is told to stop
  Millis pause{};          ///< between two times
};

struct PcmClose {
  void operator()(snd_pcm_t* pcm) const { snd_pcm_close(pcm); }
};
using Pcm = std::unique_ptr<snd_pcm_t, PcmClose>;

struct FileClose {
  void operator()(SNDFILE* file) const { sf_close(file); }
};
using File = std::unique_ptr<SNDFILE, FileClose>;

struct Recording {
  File file;
  SF_INFO info{};
};

Result<Recording> open_recording(const std::string& path) {
  Recording out;
  out.file.reset(sf_open(path.c_str(), SFM_READ, &out.info));
  if (!out.file) {
    return fail(Errc::not_found,
                fmt::format("{} cannot be played: {}; expected a recording (WAV, FLAC, OGG) that hamletd may read",
                            path, sf_strerror(nullptr)));
  }
  if (out.info.channels > 2 || out.info.samplerate < 4'000 || out.info.samplerate > 192'000) {
    return fail(Errc::invalid, fmt::format("{} has {} channels at {} Hz; expected 1 or 2 at 4000 to 192000 Hz", path,
                                           out.info.channels, out.info.samplerate));
  }
  return out;
}

// Not to block where another program has it.
Result<Pcm> open_pcm(const std::string& name, const SF_INFO& info) {
  snd_pcm_t* raw = nullptr;
  int error = snd_pcm_open(&raw, name.c_str(), SND_PCM_STREAM_PLAYBACK, SND_PCM_NONBLOCK);
  Pcm pcm{error == 0 ? raw : nullptr};
  if (error == 0) {
    error =
        snd_pcm_set_params(raw, SND_PCM_FORMAT_S16, SND_PCM_ACCESS_RW_INTERLEAVED, static_cast<unsigned>(info.channels),
                           static_cast<unsigned>(info.samplerate), 1, kLatencyUs);
  }
  if (error == 0) return pcm;
  const auto code = error == -ENOENT || error == -ENODEV ? Errc::not_found
                    : error == -EACCES                   ? Errc::denied
                                                         : Errc::unavailable;
  return fail(
      code, fmt::format("the sound device {}: {}; `aplay -L` lists them, and hamletd must be in the group audio", name,
                        snd_strerror(error)));
}

Status write_all(snd_pcm_t* pcm, const short* samples, sf_count_t frames, int channels, const Job& job) {
  auto last = std::chrono::steady_clock::now();
  while (frames > 0 && !job.halted()) {
    auto written = snd_pcm_writei(pcm, samples, static_cast<snd_pcm_uframes_t>(frames));
    if (written == -EAGAIN) {
      if (std::chrono::steady_clock::now() - last > kStuck)
        return fail(Errc::timeout, "the sound device takes nothing");
      if (!job.rest(10ms)) break;
      continue;
    }
    if (written < 0) written = snd_pcm_recover(pcm, static_cast<int>(written), 1);
    if (written < 0)
      return fail(Errc::unavailable, fmt::format("the sound device: {}", snd_strerror(static_cast<int>(written))));
    last = std::chrono::steady_clock::now();
    samples += written * channels;
    frames -= written;
  }
  return {};
}

// What was written is heard to its end, unless it is to stop.
void finish(snd_pcm_t* pcm, const Job& job) {
  (void)snd_pcm_drain(pcm);  // does not block: the device was opened so
  for (Millis waited{0}; waited < kStuck && snd_pcm_state(pcm) == SND_PCM_STATE_DRAINING; waited += 20ms) {
    if (!job.rest(20ms)) break;
  }
  (void)snd_pcm_drop(pcm);
}

Status play_once(const std::string& pcm_name, const Message& message, Job& job) {
  auto recording = open_recording(message.file);
  if (!recording) return fail(std::move(recording).error());
  auto pcm = open_pcm(pcm_name, recording->info);
  if (!pcm) return fail(std::move(pcm).error());
  std::vector<short> samples(static_cast<std::size_t>(kFrames * recording->info.channels));
  const auto most = kLongest * recording->info.samplerate;
  for (std::int64_t played = 0; played < most && !job.halted();) {
    const auto frames = sf_readf_short(recording->file.get(), samples.data(), kFrames);
    if (frames <= 0) break;
    if (auto written = write_all(pcm->get(), samples.data(), frames, recording->info.channels, job); !written)
      return written;
    if (played == 0) job.confirm();
    played += frames;
  }
  finish(pcm->get(), job);
  return {};
}

Status play(const std::string& pcm, const Message& message, Job& job) {
  for (std::int64_t n = 0; message.times == 0 || n < message.times; ++n) {
    if (n > 0 && !job.rest(message.pause)) break;
    if (auto played = play_once(pcm, message, job); !played || job.halted()) return played;
  }
  return {};
}

}  // namespace

Blueprint read(const config::Table& device, const std::string& id) {
  const auto pcm = device.text_or("pcm", "default");
  std::map<std::string, Actor::Does> acts;
  auto infos = read_outputs(device, id, [&](const config::Table& table, OutputInfo&) {
    Message message{.file = table.text("file"),
                    .times = table.integer_or("times", 0, {0, 1000}),
                    .pause = table.duration_or("pause", 3s, {100ms, 1h})};
    if (table.has("file") && !message.file.starts_with('/')) table.error("file", texts::want_file());
    acts[table.id("id")] = {.act = [pcm, message](const Value&, Job& job) { return play(pcm, message, job); },
                            .plays = true};
  });
  if (infos.empty()) device.error("", texts::no_output());
  return {.points = {},
          .outputs = std::move(infos),
          .build = [id, acts = std::move(acts)](const Surroundings& around) -> std::shared_ptr<Device> {
            return std::make_shared<Actor>("play-" + id, acts, around);
          }};
}

}  // namespace hamlet::drivers::speaker
