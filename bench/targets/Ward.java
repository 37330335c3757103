// Fills its heap with records, says ready, and goes on looking some of them up.
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

public class Ward {
  record Reading(long time, int pulse, double temperature, String nurse) {}

  public static void main(String[] arguments) throws InterruptedException {
    int bytes = Integer.parseInt(arguments[0]) * 1_000_000;
    Map<String, List<Reading>> wards = new HashMap<>();
    int patient = 0;
    Runtime runtime = Runtime.getRuntime();
    while (runtime.totalMemory() - runtime.freeMemory() < bytes) {
      List<Reading> readings = new ArrayList<>();
      for (int i = 0; i < 50; i++) {
        int n = patient * 50 + i;
        readings.add(new Reading(1_700_000_000_000L + n * 977L, 50 + n % 60, 36 + n % 37 / 10.0, "nurse " + n % 41));
      }
      wards.put("patient " + patient++, readings);
    }
    System.out.println("ready");
    for (int n = 0; ; n = (n + 7919) % patient) {
      if (wards.get("patient " + n).size() != 50) throw new IllegalStateException("a reading is missing");
      Thread.sleep(1);
    }
  }
}
