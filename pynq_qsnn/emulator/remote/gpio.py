"""Service ``gpio`` of pynq 4.0 and later: pins that keep what is written and drive nothing."""

from __future__ import annotations

from pynq.remote import gpio_pb2 as messages
from pynq.remote import gpio_pb2_grpc

from .handles import Handles

BASE_PATH, PINS = "/sys/class/gpio/gpiochip338", 174  # of the ZynqMP's controller under Linux


class GpioService(gpio_pb2_grpc.GpioServicer):
    """Each exported pin is a list of one value."""

    def __init__(self):
        self.handles = Handles("pin")

    def get_gpio(self, request, context):
        """Export a pin."""
        return messages.GetGpioResponse(gpio_id=self.handles.add(context.peer(), [0]))

    def read(self, request, context):
        """The pin's value."""
        return messages.GpioReadResponse(value=self.handles.find(request.gpio_id, context)[0])

    def write(self, request, context):
        """Set the pin's value."""
        self.handles.find(request.gpio_id, context)[0] = request.value
        return messages.GpioWriteResponse()

    def unexport(self, request, context):
        """Give the pin back."""
        self.handles.remove(request.gpio_id, context)
        return messages.GpioUnexportResponse()

    def is_exported(self, request, context):
        """Whether it has not been given back."""
        return messages.GpioIsExportedResponse(is_exported=request.gpio_id in self.handles)

    def get_gpio_base_path(self, request, context):
        """Folder of the controller."""
        return messages.GetGpioBasePathResponse(base_path=BASE_PATH)

    def get_gpio_npins(self, request, context):
        """Pins of the controller."""
        return messages.GetGpioNPinsResponse(npins=PINS)
