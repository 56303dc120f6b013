// What a file of `ferlab export format=onnx` says of a face crop: java -jar run_onnx.jar model.onnx face.png
// Without ferlab. Needs com.microsoft.onnxruntime:onnxruntime; on Android :onnxruntime-android, with
// Bitmap.createScaledBitmap and getPixels in place of ImageIO and its drawing. For models of expressions; labels.txt must
// lie beside the model. It resizes with another filter than the training, so answers for crops of another size than the
// model's differ a little.
import ai.onnxruntime.OnnxJavaType
import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.TensorInfo
import java.awt.RenderingHints
import java.awt.image.BufferedImage
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import javax.imageio.ImageIO
import kotlin.math.roundToInt
import kotlin.system.exitProcess

fun main(arguments: Array<String>) {
    if (arguments.size != 2) {
        System.err.println("usage: java -jar run_onnx.jar model.onnx face.png")
        exitProcess(1)
    }
    val environment = OrtEnvironment.getEnvironment()
    val session = environment.createSession(arguments[0])
    val (_, channels, size) = (session.inputInfo["images"]!!.info as TensorInfo).shape.map { it.toInt() }
    val face = BufferedImage(size, size, BufferedImage.TYPE_INT_RGB)
    val brush = face.createGraphics()
    brush.setRenderingHint(RenderingHints.KEY_INTERPOLATION, RenderingHints.VALUE_INTERPOLATION_BILINEAR)
    brush.drawImage(ImageIO.read(File(arguments[1])), 0, 0, size, size, null)
    val rgb = face.getRGB(0, 0, size, size, null, 0, size)
    val (red, green, blue) = listOf(16, 8, 0).map { shift -> rgb.map { it shr shift and 255 } }
    val gray = rgb.indices.map { (0.299 * red[it] + 0.587 * green[it] + 0.114 * blue[it]).roundToInt() }
    val pixels = if (channels == 1) gray else red + green + blue // the model normalises by itself
    val buffer = ByteBuffer.allocateDirect(pixels.size).order(ByteOrder.nativeOrder())
    pixels.forEach { buffer.put(it.toByte()) }
    buffer.rewind()
    val shape = longArrayOf(1, channels.toLong(), size.toLong(), size.toLong())
    val images = OnnxTensor.createTensor(environment, buffer, shape, OnnxJavaType.UINT8)
    val answers = session.run(mapOf("images" to images))["expression"].get() as OnnxTensor
    val labels = File(arguments[0]).resolveSibling("labels.txt").readLines()
    labels.forEachIndexed { i, label -> println(label + " %.4f".format(answers.floatBuffer[i])) }
}
