import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.flipkart.zjsonpatch.JsonPatch;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.Base64;

/** Applies patches with the libraries of Metron's zk_load_configs.sh. Lines have a document and a patch in base64. */
public class Patches {
  public static void main(String[] arguments) throws Exception {
    ObjectMapper mapper = new ObjectMapper();
    mapper.setSerializationInclusion(JsonInclude.Include.NON_NULL);
    mapper.configure(JsonParser.Feature.ALLOW_COMMENTS, true);
    BufferedReader input = new BufferedReader(new InputStreamReader(System.in, "US-ASCII"));
    for (String line = input.readLine(); line != null; line = input.readLine()) {
      String[] words = line.split(" ");
      byte[] document = Base64.getDecoder().decode(words[0]);
      byte[] patch = Base64.getDecoder().decode(words[1]);
      String result;
      try {
        Object patched = JsonPatch.apply(mapper.readTree(patch), mapper.readTree(document));
        byte[] bytes = mapper.writerWithDefaultPrettyPrinter().writeValueAsBytes(patched);
        result = Base64.getEncoder().encodeToString(bytes);
      } catch (Exception error) {
        result = "!" + error.getClass().getSimpleName();
      }
      System.out.println(result);
    }
  }
}
