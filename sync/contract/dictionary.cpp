#include "sync/contract/dictionary.hpp"

namespace hamlet::contract {

std::string_view dictionary_1() {
  // The likeliest last: what is nearer costs less.
  static constexpr std::string_view kText =
      R"({"source":"gateway","kind":"command","phase":"once","event":"","detail":{"verb":"ping","id":"","by":"county","ok":true},"media":[]})"
      R"({"source":"gateway","kind":"operator","phase":"once","event":"","detail":{"alarm":"","by":"root","occurrence":1,"verb":"alarm.ack"},"media":[]})"
      R"({"source":"gateway","kind":"start","phase":"once","event":"","detail":{"boot":1,"firmware":"0.1.0"},"media":[]})"
      R"({"source":"gateway","kind":"stop","phase":"once","event":"","detail":{},"media":[]})"
      R"({"source":"gateway","kind":"reload","phase":"once","event":"","detail":{"rev":2},"media":[]})"
      R"({"source":"gateway","kind":"gap","phase":"once","event":"","detail":{"count":1,"epoch":"","from":1,"lane":"tele","readings":1,"reason":"journal-full","to":1},"media":[]})"
      R"({"source":"gateway","kind":"time","phase":"once","event":"","detail":{"boot":1,"change":"synced","mono":1,"moved_ms":17954,"offset":17954,"tq":"synced"},"media":[]})"
      "event/gateway/quality"
      R"({"source":"","kind":"quality","phase":"once","event":"","detail":{"point":"","q":"suspect","why":"spike","tests":{"gross-range":1,"rate-of-change":1,"flat-line":1}},"media":[]})"
      "event/device/down event/device/up"
      R"({"source":"","kind":"down","phase":"start","event":"","detail":{"message":"no answer from 192.168.1. port 502 within 1 s","why":"timeout","refused","unreachable"},"media":[]})"
      R"({"source":"","kind":"down","phase":"end","event":"","detail":{"down_ms":},"media":[]})"
      R"({"source":"","kind":"offline","phase":"start","event":"","detail":{"message":"","why":"unreachable"},"media":[]})"
      "alarmlog/river-level-high"
      R"({"alarm":"river-level-high","occurrence":1,"state":"normal","severity":"minor","since":)"
      R"({"alarm":"","occurrence":1,"state":"acked","severity":"warning","since":)"
      R"({"alarm":"","occurrence":1,"state":"returned","severity":"major","since":)"
      R"({"alarm":"","occurrence":1,"state":"unacked","severity":"critical","since":)"
      "\x01" "0\x02"
      R"(,"value":1.,"limit":1.,"text":{"zh":"水位过高","en":"Level is high"},"sources":["river.level"]})"
      "media/.jpg"
      "event/cam-1/intrusion event/cam-1/loitering event/cam-1/line"
      R"({"source":"cam-","kind":"intrusion","phase":"start","event":"","t":)"
      "\x01-"
      R"(1000,"detail":{"class":"person","direction":"in","object":1},"media":[]})"
      "event/cam-1/motion"
      R"({"source":"cam-1","kind":"motion","phase":"end","event":"","t":)"
      "\x01-100\x02"
      R"(,"detail":{"area":0.1,"box":[1,1,10,10],"duration_ms":1000,"frame":1000,"frames":10,"media_ms":100000,"zone":"gate"},"media":["-1"]})"
      "event/cam-1/motion"
      R"({"source":"cam-1","kind":"motion","phase":"start","event":"","t":)"
      "\x01-120\x02"
      R"(,"detail":{"area":0.05,"box":[120,200,40,80],"frame":1000,"media_ms":100000,"zone":"yard"},"media":[]})"
      "event/cam-1/motion"
      R"({"source":"cam-1","kind":"motion","phase":"update","event":"","t":)"
      "\x01-140\x02"
      R"(,"detail":{"area":0.02,"box":[130,210,40,80],"duration_ms":2000,"frame":1010,"frames":20,"media_ms":102000,"zone":"ford"},"media":[]})";
  return kText;
}

}  // namespace hamlet::contract
