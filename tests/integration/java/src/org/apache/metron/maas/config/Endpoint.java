package org.apache.metron.maas.config;

import java.util.Map;
import java.util.TreeMap;

/** The endpoint of a model. */
public class Endpoint {
  private String url;
  private Map<String, String> functions = new TreeMap<>();

  public String getUrl() {
    return url;
  }

  public void setUrl(String url) {
    this.url = url;
  }

  public Map<String, String> getFunctions() {
    return functions;
  }

  public void setFunctions(Map<String, String> functions) {
    this.functions = functions;
  }
}
