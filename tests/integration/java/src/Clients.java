import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.queue.SimpleDistributedQueue;
import org.apache.curator.retry.ExponentialBackoffRetry;
import org.apache.curator.x.discovery.ServiceDiscovery;
import org.apache.curator.x.discovery.ServiceDiscoveryBuilder;
import org.apache.curator.x.discovery.ServiceInstance;
import org.apache.curator.x.discovery.ServiceType;
import org.apache.curator.x.discovery.details.JsonInstanceSerializer;
import org.apache.metron.maas.config.Endpoint;
import org.apache.metron.maas.config.ModelEndpoint;

/**
 * Java clients of the queue and the registrations, with the same libraries as Metron:
 *
 * <pre>
 * HOSTS send PATH TEXT...                     put strings on the queue
 * HOSTS take PATH COUNT                       take items off and print them
 * HOSTS register ROOT NAME VERSION ID URL     register a persistent instance
 * HOSTS unregister ROOT NAME ID               remove an instance
 * HOSTS list ROOT                             print what is registered
 * </pre>
 */
public class Clients {
  public static void main(String[] words) throws Exception {
    CuratorFramework client = CuratorFrameworkFactory.newClient(words[0], new ExponentialBackoffRetry(1000, 3));
    client.start();
    switch (words[1]) {
      case "send" -> send(client, words);
      case "take" -> take(client, words);
      default -> discover(client, words);
    }
    Runtime.getRuntime().halt(0); // like a killed program: no clean-up at exit
  }

  private static void send(CuratorFramework client, String[] words) throws Exception {
    SimpleDistributedQueue queue = new SimpleDistributedQueue(client, words[2]);
    for (int i = 3; i < words.length; i++) {
      queue.offer(words[i].getBytes(StandardCharsets.UTF_8));
    }
  }

  private static void take(CuratorFramework client, String[] words) throws Exception {
    SimpleDistributedQueue queue = new SimpleDistributedQueue(client, words[2]);
    for (int i = 0; i < Integer.parseInt(words[3]); i++) {
      System.out.println(new String(queue.take(), StandardCharsets.UTF_8));
    }
    System.out.flush();
  }

  private static void discover(CuratorFramework client, String[] words) throws Exception {
    ServiceDiscovery<ModelEndpoint> discovery =
        ServiceDiscoveryBuilder.builder(ModelEndpoint.class)
            .client(client)
            .basePath(words[2])
            .serializer(new JsonInstanceSerializer<>(ModelEndpoint.class))
            .build();
    discovery.start();
    switch (words[1]) {
      case "register" -> discovery.registerService(instance(words[3], words[4], words[5], words[6]));
      case "unregister" -> discovery.unregisterService(discovery.queryForInstance(words[3], words[4]));
      case "list" -> list(discovery);
      default -> throw new IllegalArgumentException(words[1]);
    }
  }

  private static ServiceInstance<ModelEndpoint> instance(String name, String version, String id, String url)
      throws Exception {
    Endpoint endpoint = new Endpoint();
    endpoint.setUrl(url);
    endpoint.getFunctions().put("apply", "apply");
    ModelEndpoint payload = new ModelEndpoint();
    payload.setEndpoint(endpoint);
    payload.setName(name);
    payload.setVersion(version);
    payload.setContainerId(id);
    URL parts = new URL(url);
    return ServiceInstance.<ModelEndpoint>builder()
        .name(name)
        .id(id)
        .address(parts.getHost())
        .port(parts.getPort())
        .registrationTimeUTC(1571163620277L)
        .serviceType(ServiceType.STATIC)
        .payload(payload)
        .build();
  }

  private static void list(ServiceDiscovery<ModelEndpoint> discovery) throws Exception {
    List<String> lines = new ArrayList<>();
    for (String name : new TreeSet<>(discovery.queryForNames())) {
      for (ServiceInstance<ModelEndpoint> instance : discovery.queryForInstances(name)) {
        ModelEndpoint payload = instance.getPayload();
        Endpoint endpoint = payload.getEndpoint();
        lines.add(
            String.join(
                " ",
                payload.getName(),
                payload.getVersion(),
                instance.getId(),
                endpoint.getUrl(),
                endpoint.getFunctions().toString(),
                instance.getServiceType().toString(),
                instance.getPort().toString()));
      }
    }
    lines.stream().sorted().forEach(System.out::println);
    System.out.flush();
  }
}
