import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jpmml.evaluator.Evaluator;
import org.jpmml.evaluator.EvaluatorUtil;
import org.jpmml.evaluator.LoadingModelEvaluatorBuilder;

/**
 * Scores tables by JPMML-Evaluator.
 *
 * <p>Each argument is a path without its ending: NAME.pmml is the model, NAME.tsv the records with a header, in which an
 * empty cell is a missing value. NAME.out gets a line for each record: names and values of the results, or "!" and the
 * error.
 */
public class JpmmlScores {
    public static void main(String[] names) throws Exception {
        for (String name : names) {
            List<String> lines = new ArrayList<>();
            try {
                lines = scoreTable(name);
            } catch (Exception error) {
                lines.add("!" + error);
            }
            Files.write(Path.of(name + ".out"), lines);
        }
    }

    private static List<String> scoreTable(String name) throws Exception {
        Evaluator evaluator = new LoadingModelEvaluatorBuilder().load(Path.of(name + ".pmml").toFile()).build();
        evaluator.verify();
        List<String> table = Files.readAllLines(Path.of(name + ".tsv"));
        String[] header = table.get(0).split("\t", -1);
        List<String> lines = new ArrayList<>();
        for (String row : table.subList(1, table.size())) {
            lines.add(scoreRow(evaluator, header, row.split("\t", -1)));
        }
        return lines;
    }

    private static String scoreRow(Evaluator evaluator, String[] header, String[] cells) {
        Map<String, Object> record = new LinkedHashMap<>();
        for (int index = 0; index < header.length; index++) {
            if (!cells[index].isEmpty()) {
                record.put(header[index], cells[index]);
            }
        }
        try {
            List<String> parts = new ArrayList<>();
            EvaluatorUtil.decodeAll(evaluator.evaluate(record)).forEach((key, value) -> {
                parts.add(String.valueOf(key));
                parts.add(String.valueOf(value));
            });
            return String.join("\t", parts);
        } catch (Exception error) {
            return "!" + error;
        }
    }
}
