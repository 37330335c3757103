// A JVM at work: a heap that is mostly full, threads that make garbage and code that gets compiled, and a
// server that answers each connection with one line: heap whole, turns of the workers.
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.atomic.AtomicLong;

public class HeapServer {
    private static final int PIECE_BYTES = 100_000;
    private static final AtomicLong turns = new AtomicLong();

    /** Arguments: port, megabytes to hold. */
    public static void main(String[] args) throws IOException {
        List<byte[]> held = new ArrayList<>();
        Random random = new Random(1);
        for (int i = 0; i < Integer.parseInt(args[1]) * 10; i++) {
            byte[] piece = new byte[PIECE_BYTES];
            random.nextBytes(piece);
            held.add(piece);
        }
        long wanted = sum(held);
        for (int i = 0; i < 3; i++) {
            Thread worker = new Thread(HeapServer::work);
            worker.setDaemon(true);
            worker.start();
        }
        try (ServerSocket server =
                new ServerSocket(Integer.parseInt(args[0]), 50, InetAddress.getByName("127.0.0.1"))) {
            while (true) {
                try (Socket client = server.accept()) {
                    String line = (sum(held) == wanted) + " " + turns.get() + "\n";
                    client.getOutputStream().write(line.getBytes());
                } catch (IOException broken) {
                    // The client's end of it; the next one gets its answer.
                }
            }
        }
    }

    private static void work() {
        Map<Integer, String> garbage = new HashMap<>();
        for (int n = 0; ; n++) {
            garbage.put(n % 5000, "value " + n);
            if (n % 1000 == 0) {
                turns.incrementAndGet();
                try {
                    Thread.sleep(1);
                } catch (InterruptedException never) {
                    throw new IllegalStateException(never);
                }
            }
        }
    }

    private static long sum(List<byte[]> held) {
        long sum = 0;
        for (byte[] piece : held) sum += Arrays.hashCode(piece);
        return sum;
    }
}
