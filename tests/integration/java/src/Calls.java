import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.stream.Collectors;
import org.apache.http.client.methods.CloseableHttpResponse;
import org.apache.http.client.methods.HttpGet;
import org.apache.http.impl.client.CloseableHttpClient;
import org.apache.http.impl.client.HttpClients;
import org.apache.http.impl.conn.BasicHttpClientConnectionManager;

/**
 * Calls URLs one after the other on one connection, as a thread of Metron does: a response with another status than 200
 * is not read, so its connection is never released, and every later call of the thread fails.
 */
public class Calls {
  public static void main(String[] urls) throws Exception {
    CloseableHttpClient client =
        HttpClients.custom().setConnectionManager(new BasicHttpClientConnectionManager()).build();
    for (String url : urls) {
      System.out.println(call(client, url));
    }
  }

  private static String call(CloseableHttpClient client, String url) throws Exception {
    HttpGet get = new HttpGet(url);
    get.addHeader("accept", "application/json");
    try {
      CloseableHttpResponse response = client.execute(get);
      int status = response.getStatusLine().getStatusCode();
      if (status != 200) {
        return "!" + status;
      }
      InputStreamReader body = new InputStreamReader(response.getEntity().getContent(), "UTF-8");
      try (BufferedReader reader = new BufferedReader(body)) {
        return reader.lines().collect(Collectors.joining("\n"));
      }
    } catch (IllegalStateException error) {
      return "!" + error.getMessage();
    }
  }
}
