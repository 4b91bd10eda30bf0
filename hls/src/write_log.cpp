#include "stages.hpp"

// Time samples -> memory, one word an instruction. Entries beyond the buffer's capacity are dropped, not counted.
void write_log(hls::stream<LogEntry>& entries, word_t* log, uint32_t capacity, uint32_t* log_count) {
  uint32_t written = 0;
  bool running = true;
write_entries:
  while (running) {
    HLS(LOOP_TRIPCOUNT min = 1 max = 1000 avg = 12)
    const LogEntry entry = entries.read();
    running = !entry.last;
    if (running && written < capacity) {
      word_t word = 0;
      word.range(hw::log_entry::kStartLsb + hw::log_entry::kStartBits - 1, hw::log_entry::kStartLsb) = entry.start;
      word.range(hw::log_entry::kEndLsb + hw::log_entry::kEndBits - 1, hw::log_entry::kEndLsb) = entry.end;
      WRITE_BURST(log, 1);
      BEAT;
      log[written] = word;
      ++written;
    }
  }
  *log_count = written;
}
